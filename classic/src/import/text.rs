//! The lines of a text of any length, one at a time.

use std::io::{self, BufRead, Read as _};

/// No line of a capture is longer: two names and some numbers.
const LINE_BYTES: u64 = 64 << 10;

/// A text that is read line by line.
#[derive(Debug)]
pub struct Text<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Text<R> {
    /// Reads from there.
    pub fn new(input: R) -> Self {
        Text { input, line: Vec::new(), number: 0 }
    }

    /// The next line with its number from 1; none instead of the line where it is too long, is not UTF-8, or is the last
    /// one and does not end.
    pub fn next_line(&mut self) -> io::Result<Option<(u64, Option<&str>)>> {
        self.line.clear();
        self.number += 1;
        if self.read_piece()? == 0 {
            return Ok(None);
        }
        let mut is_whole = self.line.ends_with(b"\n");
        while !is_whole && self.line.len() as u64 == LINE_BYTES {
            // The rest of a line that is too long is passed over in pieces.
            self.line.clear();
            if self.read_piece()? == 0 || self.line.ends_with(b"\n") {
                return Ok(Some((self.number, None)));
            }
        }
        is_whole &= !self.line.contains(&0);
        Ok(Some((self.number, std::str::from_utf8(&self.line).ok().filter(|_| is_whole))))
    }

    fn read_piece(&mut self) -> io::Result<usize> {
        (&mut self.input).take(LINE_BYTES).read_until(b'\n', &mut self.line)
    }
}
