//! Text tables with aligned columns.

use std::io::{self, Write};

/// Writes a head and rows. The last column is text and aligned to the left, the others are numbers
/// and aligned to the right.
pub fn write<const N: usize>(head: [&str; N], rows: &[[String; N]], out: &mut impl Write) -> io::Result<()> {
    let columns = Columns::of(head, rows);
    columns.write_head(out)?;
    rows.iter().try_for_each(|row| columns.write(row, out))
}

/// The width up to which a cell widens its column, in characters. A wider cell overflows in its own
/// row only.
pub const MAX_COLUMN_WIDTH: usize = 120;

/// The heads and widths of columns.
pub struct Columns<const N: usize> {
    head: [String; N],
    widths: [usize; N],
}

impl<const N: usize> Columns<N> {
    /// Columns that are wide enough for the head and the rows.
    pub fn of<'a>(head: [&str; N], rows: impl IntoIterator<Item = &'a [String; N]>) -> Self {
        let head = head.map(str::to_owned);
        let mut widths = head.each_ref().map(|cell| cell.chars().count());
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().min(MAX_COLUMN_WIDTH).max(*width);
            }
        }
        Columns { head, widths }
    }

    /// Writes the head.
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
    //! The alignment of columns.

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let mut out = Vec::new();
        let rows = [["1", "2.50 µs", "f"], ["1,000", "3 ns", "longer"]].map(|row| row.map(str::to_owned));
        write(["calls", "time", "function"], &rows, &mut out).expect("a vector accepts all writes");
        assert_eq!(
            String::from_utf8(out).expect("the output is UTF-8"),
            "calls     time  function\n    1  2.50 µs  f\n1,000     3 ns  longer\n"
        );
    }
}
