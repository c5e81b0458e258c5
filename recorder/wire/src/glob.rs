//! Globs as the reports read them: `*`, `?`, `[…]` and `{…,…}`, where `*` also crosses slashes, and `**` between
//! slashes stands for any number of folders.
//!
//! A glob becomes steps that lead forward only, so that all ways through them are followed at once:
//!
//! ```text
//! {a,b*}c    Fork ─▶ a ─▶ Jump ─┐
//!               └──▶ b ─▶ Run ──┴▶ c ─▶ end
//! ```

use alloc::vec::Vec;
use core::iter::Peekable;
use core::mem;
use core::str::Chars;

/// A glob, ready to be asked.
#[derive(Clone, Debug)]
pub struct Glob(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    /// One of these bytes.
    Byte(Bytes),
    /// Any number of bytes.
    Run,
    /// Goes on, and so many steps further, too.
    Fork(usize),
    /// Goes on so many steps further.
    Jump(usize),
}

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Bytes([u64; 4]);

impl Bytes {
    const ALL: Bytes = Bytes([u64::MAX; 4]);

    fn add(&mut self, from: u8, to: u8) {
        (from..=to).for_each(|byte| self.0[usize::from(byte >> 6)] |= 1 << (byte & 63));
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & 1 << (byte & 63) != 0
    }
}

impl Glob {
    /// Reads a glob; none where the text is not one.
    pub fn parse(text: &str) -> Option<Glob> {
        let tokens = Parser::new(text).parse()?;
        if let [Token::Folders] = tokens.as_slice() {
            return Some(Glob(alloc::vec![Step::Run]));
        }
        let mut steps = Vec::new();
        tokens.iter().for_each(|token| token.write(&mut steps));
        Some(Glob(steps))
    }

    /// Whether it matches all of the text.
    pub fn is_match(&self, text: &str) -> bool {
        let Glob(steps) = self;
        // Where the ways through it have come to; the place after the last step is the end.
        let mut places = alloc::vec![false; steps.len() + 1];
        let mut next = places.clone();
        places[0] = true;
        self.follow(&mut places);
        for byte in text.bytes() {
            next.fill(false);
            for (at, step) in steps.iter().enumerate().filter(|(at, _)| places[*at]) {
                match step {
                    Step::Byte(bytes) => next[at + 1] |= bytes.has(byte),
                    Step::Run => next[at] = true,
                    Step::Fork(_) | Step::Jump(_) => {}
                }
            }
            self.follow(&mut next);
            mem::swap(&mut places, &mut next);
        }
        places[steps.len()]
    }

    /// Goes all the steps that take no byte.
    fn follow(&self, places: &mut [bool]) {
        for (at, step) in self.0.iter().enumerate() {
            if places[at] {
                match step {
                    Step::Byte(_) => {}
                    Step::Run => places[at + 1] = true,
                    Step::Fork(far) => {
                        places[at + 1] = true;
                        places[at + far] = true;
                    }
                    Step::Jump(far) => places[at + far] = true,
                }
            }
        }
    }
}

/// A part of a glob.
enum Token {
    Literal(char),
    /// One of these bytes.
    Class(Bytes),
    Run,
    /// `**/` at the beginning: nothing, or all up to some slash.
    Folders,
    /// `/**` at the end: a slash and all that follows.
    Below,
    /// `/**/`: a slash, or all from one slash to another.
    Between,
    /// `{…,…}`.
    Choice(Vec<Vec<Token>>),
}

impl Token {
    fn write(&self, steps: &mut Vec<Step>) {
        let byte = |byte| {
            let mut bytes = Bytes::default();
            bytes.add(byte, byte);
            Step::Byte(bytes)
        };
        let folders = || [Step::Fork(3), Step::Run, byte(b'/')];
        match self {
            Token::Literal(c) => steps.extend(c.encode_utf8(&mut [0; 4]).bytes().map(byte)),
            Token::Class(bytes) => steps.push(Step::Byte(*bytes)),
            Token::Run => steps.push(Step::Run),
            Token::Folders => steps.extend(folders()),
            Token::Below => steps.extend([byte(b'/'), Step::Run]),
            Token::Between => {
                steps.push(byte(b'/'));
                steps.extend(folders());
            }
            Token::Choice(branches) => {
                let write = |branch: &Vec<Token>| {
                    let mut steps = Vec::new();
                    branch.iter().for_each(|token| token.write(&mut steps));
                    steps
                };
                // `{a,}` is no more than `{a}`.
                let branches = branches.iter().map(write).filter(|branch| !branch.is_empty());
                let joined = branches.rev().reduce(|rest, mut branch| {
                    branch.insert(0, Step::Fork(branch.len() + 2));
                    branch.push(Step::Jump(rest.len() + 1));
                    branch.extend(rest);
                    branch
                });
                steps.extend(joined.into_iter().flatten());
            }
        }
    }
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    /// The character that is being read, and the one before it.
    present: Option<char>,
    previous: Option<char>,
    /// The branches that are open. The first one is the glob itself.
    branches: Vec<Vec<Token>>,
    /// For each `{` that is open, which branch is its first.
    choices: Vec<usize>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Parser<'a> {
        Parser {
            rest: text.chars().peekable(),
            present: None,
            previous: None,
            branches: alloc::vec![Vec::new()],
            choices: Vec::new(),
        }
    }

    fn parse(mut self) -> Option<Vec<Token>> {
        while let Some(c) = self.bump() {
            match c {
                '?' => self.push(Token::Class(Bytes::ALL)),
                '*' => self.star(),
                '[' => self.class()?,
                '{' => {
                    self.choices.push(self.branches.len());
                    self.branches.push(Vec::new());
                }
                '}' => {
                    let first = self.choices.pop()?;
                    let choice = Token::Choice(self.branches.drain(first..).collect());
                    self.push(choice);
                }
                ',' if !self.choices.is_empty() => self.branches.push(Vec::new()),
                '\\' => {
                    let literal = Token::Literal(self.bump()?);
                    self.push(literal);
                }
                c => self.push(Token::Literal(c)),
            }
        }
        if self.choices.is_empty() { self.branches.pop() } else { None }
    }

    fn bump(&mut self) -> Option<char> {
        self.previous = self.present;
        self.present = self.rest.next();
        self.present
    }

    fn push(&mut self, token: Token) {
        if let Some(branch) = self.branches.last_mut() {
            branch.push(token);
        }
    }

    fn star(&mut self) {
        let (before, in_choice) = (self.previous, self.branches.len() > 1);
        if self.rest.peek() != Some(&'*') {
            return self.push(Token::Run);
        }
        self.bump();
        let after = self.rest.peek().copied();
        let begins = self.branches.last().is_none_or(Vec::is_empty);
        let ends = match after {
            None => true,
            Some(',' | '}') => in_choice && !begins,
            Some(_) => false,
        };
        let after_slash = before == Some('/') || (in_choice && matches!(before, Some(',' | '{')));
        if !(ends || after == Some('/')) || !(begins || after_slash) {
            return self.push(Token::Run);
        }
        if !ends || begins {
            self.bump();
        }
        if begins {
            return self.push(Token::Folders);
        }
        let token = match self.branches.last_mut().and_then(Vec::pop) {
            Some(token @ (Token::Folders | Token::Below)) => token,
            _ if ends => Token::Below,
            _ => Token::Between,
        };
        self.push(token);
    }

    fn class(&mut self) -> Option<()> {
        let negated = matches!(self.rest.peek(), Some('!' | '^'));
        if negated {
            self.bump();
        }
        let mut ranges: Vec<(char, char)> = Vec::new();
        let mut in_range = false;
        loop {
            match self.bump()? {
                ']' if !ranges.is_empty() => break,
                '-' if !ranges.is_empty() && !in_range => in_range = true,
                to if in_range => {
                    let range = ranges.last_mut()?;
                    range.1 = to;
                    if range.1 < range.0 {
                        return None;
                    }
                    in_range = false;
                }
                c => ranges.push((c, c)),
            }
        }
        if in_range {
            ranges.push(('-', '-'));
        }
        let mut bytes = Bytes::default();
        ranges.into_iter().for_each(|(from, to)| add(&mut bytes, from, to));
        if negated {
            bytes.0 = bytes.0.map(|word| !word);
        }
        self.push(Token::Class(bytes));
        Some(())
    }
}

/// Adds a range of a class. Classes are of bytes: beyond ASCII, those of both characters, and what lies between the
/// last byte of the one and the first byte of the other.
fn add(bytes: &mut Bytes, from: char, to: char) {
    let (mut one, mut other) = ([0; 4], [0; 4]);
    let one = from.encode_utf8(&mut one).as_bytes();
    one.iter().for_each(|&byte| bytes.add(byte, byte));
    if from != to {
        let other = to.encode_utf8(&mut other).as_bytes();
        other.iter().for_each(|&byte| bytes.add(byte, byte));
        bytes.add(one[one.len() - 1], other[0]);
    }
}

#[cfg(test)]
mod tests {
    //! Against globset, by which the reports match.

    use globset::GlobBuilder;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn is_match(glob: &str, text: &str) -> Option<bool> {
        Glob::parse(glob).map(|glob| glob.is_match(text))
    }

    fn oracle(glob: &str, text: &str) -> Option<bool> {
        let glob = GlobBuilder::new(glob).literal_separator(false).build();
        glob.ok().map(|glob| glob.compile_matcher().is_match(text))
    }

    #[test]
    fn every_sign_means_what_the_reports_say() {
        for (glob, matching, other) in [
            ("decode", "decode", "decod"),
            ("d?code", "decode", "dcode"),
            ("json/*", "json/a/b.py", "json"),
            ("*/json/*", "/usr/json/a.py", "json/a.py"),
            ("**/json/*", "json/a.py", "ajson/a.py"),
            ("lib/**/a.py", "lib/a.py", "liba.py"),
            ("lib/**", "lib/", "lib"),
            ("[a-c]x", "bx", "dx"),
            ("[!a-c]x", "dx", "bx"),
            ("{a,b*}c", "bbc", "cc"),
            (r"\*", "*", "a"),
            ("<frozen *", "<frozen os>", "frozen os"),
        ] {
            assert_eq!(is_match(glob, matching), Some(true), "{glob} {matching}");
            assert_eq!(is_match(glob, other), Some(false), "{glob} {other}");
        }
    }

    #[test]
    fn what_is_no_glob_is_none() {
        for glob in ["[", "[]", "[a", "[b-a]", "{a", "}", "a\\"] {
            assert_eq!(is_match(glob, "a"), None, "{glob}");
        }
    }

    /// Signs that mean something, and few letters, so that much matches.
    fn glob() -> impl Strategy<Value = alloc::string::String> {
        const PARTS: [&str; 17] =
            ["*", "**", "?", "[", "]", "{", "}", ",", "\\", "/", "-", "!", "^", "a", "b", "é", "{a,b/}"];
        vec(select(&PARTS[..]), 0..9).prop_map(|parts| parts.concat())
    }

    fn text() -> impl Strategy<Value = alloc::string::String> {
        vec(select(&["a", "b", "/", "é", "-", ",", "*"][..]), 0..7).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn equals_the_reports(glob in glob(), texts in vec(text(), 8)) {
            for text in texts {
                prop_assert_eq!(is_match(&glob, &text), oracle(&glob, &text), "{} {}", &glob, &text);
            }
        }
    }
}
