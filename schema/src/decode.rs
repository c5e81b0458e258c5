//! Arrow's columns into ours: dictionary values are interned once a row group, keys translated row by row.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};

use crate::{Batch, CodeId, Marker, Names, TextId};

/// Why rows cannot be: a reason for [`crate::Error::Damaged`].
type Reason = String;

/// Decodes the batches of one row group.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    markers: Translation<Marker>,
    codes: Translation<CodeId>,
    texts: Translation<TextId>,
}

impl Decoder {
    /// The rows of `record`, which lacks the columns that were not asked for.
    pub(crate) fn decode(&mut self, record: &RecordBatch, names: &Names) -> Result<Batch, Reason> {
        let rows = record.num_rows();
        let required = |name: &str| required(record, name);
        let marker = |name: &str| Marker::from_name(name).ok_or_else(|| format!("it has a marker `{name}`"));
        let code = |code: &str| Ok(names.code(code));
        let text = |text: &str| Ok(names.text(text));
        Ok(Batch {
            time_ns: required("time_ns")?.as_primitive::<Int64Type>().values().to_vec(),
            pid: required("pid")?.as_primitive::<Int32Type>().values().to_vec(),
            tid: required("tid")?.as_primitive::<Int32Type>().values().to_vec(),
            marker: self.markers.translate(required("marker")?, None, marker)?,
            code: self.codes.translate(required("code")?, None, code)?,
            line: match record.column_by_name("line") {
                Some(_) => required("line")?.as_primitive::<Int32Type>().values().to_vec(),
                None => vec![0; rows],
            },
            values: record.column_by_name("value").map(values).unwrap_or_default(),
            text: match record.column_by_name("text") {
                Some(column) => self.texts.translate(column, Some(TextId::NONE), text)?,
                None => vec![TextId::NONE; rows],
            },
        })
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

/// From the keys of a dictionary to what its values mean here.
#[derive(Debug)]
struct Translation<T> {
    /// The dictionary that `meanings` were made from. Batches of a row group share one.
    dictionary: Option<ArrayRef>,
    meanings: Vec<T>,
}

impl<T> Default for Translation<T> {
    fn default() -> Self {
        Translation { dictionary: None, meanings: Vec::new() }
    }
}

impl<T: Copy> Translation<T> {
    /// The meaning of every row; `null` is that of a row without a value.
    fn translate(
        &mut self,
        column: &ArrayRef,
        null: Option<T>,
        meaning: impl Fn(&str) -> Result<T, Reason>,
    ) -> Result<Vec<T>, Reason> {
        let column = column.as_dictionary::<Int32Type>();
        if let (Some(null), true) = (null, column.null_count() == column.len()) {
            return Ok(vec![null; column.len()]);
        }
        self.learn(column.values(), meaning)?;
        let unknown = || "it has a dictionary key without a value".to_owned();
        let mean = |&key: &i32| self.meanings.get(key as usize).copied().ok_or_else(unknown);
        match (column.nulls(), null) {
            (Some(nulls), Some(null)) => {
                let keys = column.keys().values().iter().zip(nulls.iter());
                keys.map(|(key, valid)| if valid { mean(key) } else { Ok(null) }).collect()
            }
            _ => column.keys().values().iter().map(mean).collect(),
        }
    }

    /// Finds out what the values of a dictionary mean, unless it is the one of the last batch.
    fn learn(
        &mut self,
        dictionary: &ArrayRef,
        meaning: impl Fn(&str) -> Result<T, Reason>,
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
        let strings = strings.iter().map(|string| meaning(string.ok_or("its dictionary holds a null")?));
        self.meanings = strings.collect::<Result<_, _>>()?;
        self.dictionary = Some(dictionary.clone());
        Ok(())
    }
}
