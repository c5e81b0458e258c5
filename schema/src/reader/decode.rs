//! Converts Arrow's record batches to [`Batch`]es. Dictionary values are converted once per row
//! group, and dictionary keys row by row.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};
use rustc_hash::FxHashMap;

use crate::model::{Batch, CodeId, Marker, Names, TextId};

/// The reason of an [`Error::Damaged`](crate::error::Error::Damaged).
type Reason = String;

/// Converts the record batches of one row group.
#[derive(Debug, Default)]
pub(crate) struct BatchDecoder {
    markers: DictionaryMap<Marker>,
    codes: DictionaryMap<CodeId>,
}

impl BatchDecoder {
    /// Converts a record batch. `record` lacks the columns that are not selected.
    pub(crate) fn decode(&mut self, record: &RecordBatch, names: &Names) -> Result<Batch, Reason> {
        let rows = record.num_rows();
        let required = |name: &str| required(record, name);
        let marker =
            |name: &str| Marker::from_name(name).ok_or_else(|| format!("it has an unknown marker `{name}`"));
        let code = |code: &str| Ok(names.code(code));
        let batch = Batch {
            time_ns: required("time_ns")?.as_primitive::<Int64Type>().values().to_vec(),
            pid: required("pid")?.as_primitive::<Int32Type>().values().to_vec(),
            tid: required("tid")?.as_primitive::<Int32Type>().values().to_vec(),
            marker: self.markers.rows(required("marker")?, marker)?,
            code: self.codes.rows(required("code")?, code)?,
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
            return Err("its strings take more memory than a file of its length may claim".to_owned());
        }
        Ok(batch)
    }
}

/// A column without nulls.
fn required<'a>(record: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, Reason> {
    let column = record.column_by_name(name).ok_or_else(|| format!("its column `{name}` is missing"))?;
    match column.null_count() {
        0 => Ok(column),
        _ => Err(format!("its column `{name}` has a row without a value")),
    }
}

/// Pairs of row number and value, for the rows that have one.
fn values(column: &ArrayRef) -> Vec<(u32, i64)> {
    let column = column.as_primitive::<Int64Type>();
    match column.nulls() {
        Some(nulls) => nulls.valid_indices().map(|row| (row as u32, column.value(row))).collect(),
        None => column.values().iter().enumerate().map(|(row, &value)| (row as u32, value)).collect(),
    }
}

/// The texts of all rows.
fn texts(column: &ArrayRef, names: &Names) -> Vec<TextId> {
    let column = column.as_string_view();
    let mut texts = vec![TextId::NONE; column.len()];
    // A string view contains a short string itself, or the position of a long one. So equal views
    // are equal strings, and repeated views of a dictionary value are interned once.
    let mut interned = FxHashMap::default();
    let mut intern =
        |row: usize| *interned.entry(column.views()[row]).or_insert_with(|| names.text(column.value(row)));
    match column.nulls() {
        Some(nulls) => nulls.valid_indices().for_each(|row| texts[row] = intern(row)),
        None => texts.iter_mut().enumerate().for_each(|(row, text)| *text = intern(row)),
    }
    texts
}

/// The values of a dictionary, converted, by key.
#[derive(Debug)]
struct DictionaryMap<T> {
    /// The dictionary that `values` were converted from. The batches of a row group usually share
    /// one.
    dictionary: Option<ArrayRef>,
    values: Vec<T>,
}

impl<T> Default for DictionaryMap<T> {
    fn default() -> Self {
        DictionaryMap { dictionary: None, values: Vec::new() }
    }
}

impl<T: Copy> DictionaryMap<T> {
    /// The converted value of every row of a column.
    fn rows(
        &mut self,
        column: &ArrayRef,
        convert: impl Fn(&str) -> Result<T, Reason>,
    ) -> Result<Vec<T>, Reason> {
        let column = column.as_dictionary::<Int32Type>();
        self.update(column.values(), convert)?;
        let unknown = || "it has a dictionary key without a value".to_owned();
        let value = |&key: &i32| self.values.get(key as usize).copied().ok_or_else(unknown);
        column.keys().values().iter().map(value).collect()
    }

    /// Converts the values of a dictionary, unless it is the dictionary of the previous batch.
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
        let strings = strings.iter().map(|string| convert(string.ok_or("its dictionary holds a null")?));
        self.values = strings.collect::<Result<_, _>>()?;
        self.dictionary = Some(dictionary.clone());
        Ok(())
    }
}
