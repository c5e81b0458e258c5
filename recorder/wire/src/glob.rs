//! Globs with the syntax of the analyzer's filters, which use the `globset` crate: `*`, `?`, `[…]`
//! and `{…,…}`. `*` also matches slashes, and `**` between slashes matches any number of folders.
//!
//! A glob is compiled to a nondeterministic automaton without backward jumps. Matching advances all
//! of its states at once, so it takes time in proportion to the lengths of the glob and the text.
//!
//! ```text
//! {a,b*}c    Split ─▶ a ─▶ Jump ─────┐
//!               └───▶ b ─▶ AnyBytes ─┴▶ c ─▶ match
//! ```

use alloc::vec::Vec;
use core::iter::Peekable;
use core::mem;
use core::str::Chars;

/// A compiled glob.
#[derive(Clone, Debug)]
pub struct Glob(Vec<Instruction>);

#[derive(Clone, Debug)]
enum Instruction {
    /// Matches one byte of a set.
    Byte(ByteSet),
    /// Matches any number of bytes.
    AnyBytes,
    /// Continues at the next instruction, and at the one this many further on.
    Split(usize),
    /// Continues at the instruction this many further on.
    Jump(usize),
}

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default)]
struct ByteSet([u64; 4]);

impl ByteSet {
    const ALL: ByteSet = ByteSet([u64::MAX; 4]);

    fn insert_range(&mut self, from: u8, to: u8) {
        (from..=to).for_each(|byte| self.0[usize::from(byte >> 6)] |= 1 << (byte & 63));
    }

    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & 1 << (byte & 63) != 0
    }
}

impl Glob {
    /// Compiles a glob. Returns `None` if the syntax is invalid.
    pub fn parse(text: &str) -> Option<Glob> {
        let tokens = Parser::new(text).parse()?;
        if let [Token::RecursivePrefix] = tokens.as_slice() {
            return Some(Glob(alloc::vec![Instruction::AnyBytes]));
        }
        let mut program = Vec::new();
        tokens.iter().for_each(|token| token.compile(&mut program));
        Some(Glob(program))
    }

    /// Whether the glob matches the whole text.
    pub fn is_match(&self, text: &str) -> bool {
        let Glob(program) = self;
        // The active states. The state after the last instruction is the match.
        let mut active = alloc::vec![false; program.len() + 1];
        let mut next = active.clone();
        active[0] = true;
        self.activate_reachable(&mut active);
        for byte in text.bytes() {
            next.fill(false);
            for (at, instruction) in program.iter().enumerate().filter(|(at, _)| active[*at]) {
                match instruction {
                    Instruction::Byte(bytes) => next[at + 1] |= bytes.contains(byte),
                    Instruction::AnyBytes => next[at] = true,
                    Instruction::Split(_) | Instruction::Jump(_) => {}
                }
            }
            self.activate_reachable(&mut next);
            mem::swap(&mut active, &mut next);
        }
        active[program.len()]
    }

    /// Activates the states that are reached from active ones without matching a byte.
    fn activate_reachable(&self, active: &mut [bool]) {
        for (at, instruction) in self.0.iter().enumerate() {
            if active[at] {
                match instruction {
                    Instruction::Byte(_) => {}
                    Instruction::AnyBytes => active[at + 1] = true,
                    Instruction::Split(distance) => {
                        active[at + 1] = true;
                        active[at + distance] = true;
                    }
                    Instruction::Jump(distance) => active[at + distance] = true,
                }
            }
        }
    }
}

/// A syntactic element of a glob, with the names that `globset` uses.
enum Token {
    Literal(char),
    /// `?` or `[…]`.
    Class(ByteSet),
    /// `*`.
    ZeroOrMore,
    /// `**/` at the beginning: matches nothing, or a text that ends with a slash.
    RecursivePrefix,
    /// `/**` at the end: matches a slash and any text.
    RecursiveSuffix,
    /// `/**/`: matches a slash, or a text that begins and ends with a slash.
    RecursiveMiddle,
    /// `{…,…}`.
    Alternates(Vec<Vec<Token>>),
}

impl Token {
    fn compile(&self, program: &mut Vec<Instruction>) {
        let byte = |byte| {
            let mut bytes = ByteSet::default();
            bytes.insert_range(byte, byte);
            Instruction::Byte(bytes)
        };
        let any_folders = || [Instruction::Split(3), Instruction::AnyBytes, byte(b'/')];
        match self {
            Token::Literal(c) => program.extend(c.encode_utf8(&mut [0; 4]).bytes().map(byte)),
            Token::Class(bytes) => program.push(Instruction::Byte(*bytes)),
            Token::ZeroOrMore => program.push(Instruction::AnyBytes),
            Token::RecursivePrefix => program.extend(any_folders()),
            Token::RecursiveSuffix => program.extend([byte(b'/'), Instruction::AnyBytes]),
            Token::RecursiveMiddle => {
                program.push(byte(b'/'));
                program.extend(any_folders());
            }
            Token::Alternates(branches) => {
                let compile = |branch: &Vec<Token>| {
                    let mut program = Vec::new();
                    branch.iter().for_each(|token| token.compile(&mut program));
                    program
                };
                // As in globset, empty branches are dropped: `{a,}` equals `{a}`.
                let branches = branches.iter().map(compile).filter(|branch| !branch.is_empty());
                let joined = branches.rev().reduce(|rest, mut branch| {
                    branch.insert(0, Instruction::Split(branch.len() + 2));
                    branch.push(Instruction::Jump(rest.len() + 1));
                    branch.extend(rest);
                    branch
                });
                program.extend(joined.into_iter().flatten());
            }
        }
    }
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    /// The character that was read last.
    current: Option<char>,
    /// The character before that.
    previous: Option<char>,
    /// The branches of all open alternates. The first one is the glob itself.
    branches: Vec<Vec<Token>>,
    /// The index of the first branch of each open `{`.
    alternates: Vec<usize>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Parser<'a> {
        Parser {
            rest: text.chars().peekable(),
            current: None,
            previous: None,
            branches: alloc::vec![Vec::new()],
            alternates: Vec::new(),
        }
    }

    fn parse(mut self) -> Option<Vec<Token>> {
        while let Some(c) = self.next_char() {
            match c {
                '?' => self.push(Token::Class(ByteSet::ALL)),
                '*' => self.parse_star(),
                '[' => self.parse_class()?,
                '{' => {
                    self.alternates.push(self.branches.len());
                    self.branches.push(Vec::new());
                }
                '}' => {
                    let first = self.alternates.pop()?;
                    let token = Token::Alternates(self.branches.drain(first..).collect());
                    self.push(token);
                }
                ',' if !self.alternates.is_empty() => self.branches.push(Vec::new()),
                '\\' => {
                    let literal = Token::Literal(self.next_char()?);
                    self.push(literal);
                }
                c => self.push(Token::Literal(c)),
            }
        }
        if self.alternates.is_empty() { self.branches.pop() } else { None }
    }

    fn next_char(&mut self) -> Option<char> {
        self.previous = self.current;
        self.current = self.rest.next();
        self.current
    }

    fn push(&mut self, token: Token) {
        if let Some(branch) = self.branches.last_mut() {
            branch.push(token);
        }
    }

    fn parse_star(&mut self) {
        let (before, in_alternates) = (self.previous, self.branches.len() > 1);
        if self.rest.peek() != Some(&'*') {
            return self.push(Token::ZeroOrMore);
        }
        self.next_char();
        let after = self.rest.peek().copied();
        let begins = self.branches.last().is_none_or(Vec::is_empty);
        let ends = match after {
            None => true,
            Some(',' | '}') => in_alternates && !begins,
            Some(_) => false,
        };
        let after_slash = before == Some('/') || (in_alternates && matches!(before, Some(',' | '{')));
        if !(ends || after == Some('/')) || !(begins || after_slash) {
            return self.push(Token::ZeroOrMore);
        }
        if !ends || begins {
            self.next_char();
        }
        if begins {
            return self.push(Token::RecursivePrefix);
        }
        let token = match self.branches.last_mut().and_then(Vec::pop) {
            Some(token @ (Token::RecursivePrefix | Token::RecursiveSuffix)) => token,
            _ if ends => Token::RecursiveSuffix,
            _ => Token::RecursiveMiddle,
        };
        self.push(token);
    }

    fn parse_class(&mut self) -> Option<()> {
        let negated = matches!(self.rest.peek(), Some('!' | '^'));
        if negated {
            self.next_char();
        }
        let mut ranges: Vec<(char, char)> = Vec::new();
        let mut in_range = false;
        loop {
            match self.next_char()? {
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
        let mut bytes = ByteSet::default();
        ranges.into_iter().for_each(|(from, to)| insert_chars(&mut bytes, from, to));
        if negated {
            bytes.0 = bytes.0.map(|word| !word);
        }
        self.push(Token::Class(bytes));
        Some(())
    }
}

/// Adds a range of characters to a class. Classes consist of bytes, as in globset's default mode: a
/// range beyond ASCII adds the bytes of both characters, and those between the last byte of the
/// first and the first byte of the second.
fn insert_chars(bytes: &mut ByteSet, from: char, to: char) {
    let (mut first, mut last) = ([0; 4], [0; 4]);
    let first = from.encode_utf8(&mut first).as_bytes();
    first.iter().for_each(|&byte| bytes.insert_range(byte, byte));
    if from != to {
        let last = to.encode_utf8(&mut last).as_bytes();
        last.iter().for_each(|&byte| bytes.insert_range(byte, byte));
        bytes.insert_range(first[first.len() - 1], last[0]);
    }
}

#[cfg(test)]
mod tests {
    //! Compares with globset, which the analyzer's filters use.

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
    fn every_syntax_element_matches_as_documented() {
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
    fn invalid_syntax_is_rejected() {
        for glob in ["[", "[]", "[a", "[b-a]", "{a", "}", "a\\"] {
            assert_eq!(is_match(glob, "a"), None, "{glob}");
        }
    }

    /// All syntax elements, and few letters, so that many globs match.
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
        fn matches_as_globset_does(glob in glob(), texts in vec(text(), 8)) {
            for text in texts {
                prop_assert_eq!(is_match(&glob, &text), oracle(&glob, &text), "{} {}", &glob, &text);
            }
        }
    }
}
