//! Columns side by side.

use std::io::{self, Write};

/// Writes rows with a headline: numbers to the right, the last column, which is text, to the left.
pub fn write<const N: usize>(head: [&str; N], rows: &[[String; N]], out: &mut impl Write) -> io::Result<()> {
    let columns = Columns::of(head, rows);
    columns.write_head(out)?;
    rows.iter().try_for_each(|row| columns.write(row, out))
}

/// What is wider stands out of its column: it would move those beside it out of sight in every row.
pub const WIDEST: usize = 120;

/// Columns as wide as what they hold.
pub struct Columns<const N: usize> {
    head: [String; N],
    widths: [usize; N],
}

impl<const N: usize> Columns<N> {
    /// Columns for these rows.
    pub fn of<'a>(head: [&str; N], rows: impl IntoIterator<Item = &'a [String; N]>) -> Self {
        let head = head.map(str::to_owned);
        let mut widths = head.each_ref().map(|cell| cell.chars().count());
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().min(WIDEST).max(*width);
            }
        }
        Columns { head, widths }
    }

    /// Writes the headline.
    pub fn write_head(&self, out: &mut impl Write) -> io::Result<()> {
        self.write(&self.head, out)
    }

    /// Writes a row.
    pub fn write(&self, row: &[String; N], out: &mut impl Write) -> io::Result<()> {
        let Some((text, numbers)) = row.split_last() else { return Ok(()) };
        for (number, width) in numbers.iter().zip(self.widths) {
            write!(out, "{number:>width$}  ")?;
        }
        writeln!(out, "{text}")
    }
}

#[cfg(test)]
mod tests {
    //! Columns.

    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_they_hold() {
        let mut out = Vec::new();
        let rows = [["1", "2.50 µs", "f"], ["1,000", "3 ns", "longer"]].map(|row| row.map(str::to_owned));
        write(["calls", "time", "function"], &rows, &mut out).expect("a vector takes all");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "calls     time  function\n    1  2.50 µs  f\n1,000     3 ns  longer\n"
        );
    }
}
