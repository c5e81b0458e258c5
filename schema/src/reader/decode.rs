//! Arrow's columns into ours: dictionary values are interned once a row group, keys translated row by row.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};
use rustc_hash::FxHashMap;

use crate::model::{Batch, CodeId, Marker, Names, TextId};

/// Why rows cannot be: a reason for [`crate::Error::Damaged`].
type Reason = String;

/// Decodes the batches of one row group.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    markers: DictionaryMap<Marker>,
    codes: DictionaryMap<CodeId>,
}

impl Decoder {
    /// The rows of `record`, which lacks the columns that were not asked for.
    pub(crate) fn decode(&mut self, record: &RecordBatch, names: &Names) -> Result<Batch, Reason> {
        let rows = record.num_rows();
        let required = |name: &str| required(record, name);
        let marker = |name: &str| Marker::from_name(name).ok_or_else(|| format!("it has a marker `{name}`"));
        let code = |code: &str| Ok(names.code(code));
        let batch = Batch {
            time_ns: required("time_ns")?.as_primitive::<Int64Type>().values().to_vec(),
            pid: required("pid")?.as_primitive::<Int32Type>().values().to_vec(),
            tid: required("tid")?.as_primitive::<Int32Type>().values().to_vec(),
            marker: self.markers.map_rows(required("marker")?, marker)?,
            code: self.codes.map_rows(required("code")?, code)?,
            line: match record.column_by_name("line") {
                Some(_) => required("line")?.as_primitive::<Int32Type>().values().to_vec(),
                None => vec![0; rows],
            },
            values: record.column_by_name("value").map(values).unwrap_or_default(),
            text: match record.column_by_name("text") {
                Some(column) => texts(column, names),
                None => vec![TextId::NONE; rows],
            },
        };
        if names.exceed_limit() {
            return Err("its strings take more memory than its bytes can mean".to_owned());
        }
        Ok(batch)
    }
}

/// A column in which every row has a value.
fn required<'a>(record: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, Reason> {
    let column = record.column_by_name(name).ok_or_else(|| format!("its column `{name}` is missing"))?;
    match column.null_count() {
        0 => Ok(column),
        _ => Err(format!("its column `{name}` has a row without a value")),
    }
}

/// The rows with a value.
fn values(column: &ArrayRef) -> Vec<(u32, i64)> {
    let column = column.as_primitive::<Int64Type>();
    match column.nulls() {
        Some(nulls) => nulls.valid_indices().map(|row| (row as u32, column.value(row))).collect(),
        None => column.values().iter().enumerate().map(|(row, &value)| (row as u32, value)).collect(),
    }
}

/// The texts, null where there is none.
fn texts(column: &ArrayRef, names: &Names) -> Vec<TextId> {
    let column = column.as_string_view();
    let mut texts = vec![TextId::NONE; column.len()];
    // A view says where a string is, so views of the same string of a dictionary are equal.
    let mut known = FxHashMap::default();
    let mut update =
        |row: usize| *known.entry(column.views()[row]).or_insert_with(|| names.text(column.value(row)));
    match column.nulls() {
        Some(nulls) => nulls.valid_indices().for_each(|row| texts[row] = update(row)),
        None => texts.iter_mut().enumerate().for_each(|(row, text)| *text = update(row)),
    }
    texts
}

/// From the keys of a dictionary to what its values mean here.
#[derive(Debug)]
struct DictionaryMap<T> {
    /// The dictionary that `values` were made from. Batches of a row group share one.
    dictionary: Option<ArrayRef>,
    values: Vec<T>,
}

impl<T> Default for DictionaryMap<T> {
    fn default() -> Self {
        DictionaryMap { dictionary: None, values: Vec::new() }
    }
}

impl<T: Copy> DictionaryMap<T> {
    /// The convert of every row.
    fn map_rows(
        &mut self,
        column: &ArrayRef,
        convert: impl Fn(&str) -> Result<T, Reason>,
    ) -> Result<Vec<T>, Reason> {
        let column = column.as_dictionary::<Int32Type>();
        self.update(column.values(), convert)?;
        let unknown = || "it has a dictionary key without a value".to_owned();
        let mean = |&key: &i32| self.values.get(key as usize).copied().ok_or_else(unknown);
        column.keys().values().iter().map(mean).collect()
    }

    /// Finds out what the values of a dictionary mean, unless it is the one of the last batch.
    fn update(
        &mut self,
        dictionary: &ArrayRef,
        convert: impl Fn(&str) -> Result<T, Reason>,
    ) -> Result<(), Reason> {
        if self
            .dictionary
            .as_ref()
            .is_some_and(|known| std::ptr::addr_eq(known.as_ref(), dictionary.as_ref()))
        {
            return Ok(());
        }
        let strings: &StringArray = dictionary.as_string();
        // A null among the values is as far from the format as an unknown string.
        let strings = strings.iter().map(|string| convert(string.ok_or("its dictionary holds a null")?));
        self.values = strings.collect::<Result<_, _>>()?;
        self.dictionary = Some(dictionary.clone());
        Ok(())
    }
}
