//! Secrets, and the search for them in texts.

use std::borrow::Cow;

use aho_corasick::AhoCorasick;

use super::token::SecretKind;

/// A word or a path that must not be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// What it is.
    pub kind: SecretKind,
    /// The recorded text.
    pub text: String,
    /// The replacement.
    pub token: String,
    /// Whether it is replaced in every text. If not, it is too short or too common a word for that,
    /// and is replaced only where a field consists of it.
    pub is_everywhere: bool,
}

/// Secrets with an automaton that finds them in texts.
#[derive(Debug)]
pub struct SecretSet {
    list: Vec<Secret>,
    /// Finds the secrets that are replaced everywhere. Its pattern numbers are positions in
    /// `everywhere`. None if there are no such secrets.
    search: Option<AhoCorasick>,
    /// Positions in `list`.
    everywhere: Vec<usize>,
}

/// A range of a text that a secret matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SecretMatch {
    start: usize,
    end: usize,
    /// The position in the list of secrets.
    secret: usize,
}

impl SecretSet {
    /// Builds the automaton.
    pub fn new(list: Vec<Secret>) -> SecretSet {
        let everywhere: Vec<usize> = (0..list.len()).filter(|&at| list[at].is_everywhere).collect();
        let words = everywhere.iter().map(|&at| &list[at].text);
        // Fails only on more patterns than fit in memory.
        let search = if everywhere.is_empty() { None } else { AhoCorasick::new(words).ok() };
        SecretSet { list, search, everywhere }
    }

    /// All secrets.
    pub fn list(&self) -> &[Secret] {
        &self.list
    }

    /// Replaces the secrets in a text by their tokens. Of overlapping matches, the first is
    /// replaced; of those with the same start, the longest.
    pub fn replace<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut found = self.matches(text.as_bytes());
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_unstable_by_key(|found| (found.start, std::cmp::Reverse(found.end)));
        let (mut redacted, mut at) = (String::with_capacity(text.len()), 0);
        for SecretMatch { start, end, secret } in found {
            if start >= at {
                redacted.push_str(&text[at..start]);
                redacted.push_str(&self.list[secret].token);
                at = end;
            }
        }
        redacted.push_str(&text[at..]);
        Cow::Owned(redacted)
    }

    /// The positions in the list of the secrets in a text, once for each match.
    pub fn find_in(&self, text: &[u8]) -> impl Iterator<Item = usize> + use<> {
        self.matches(text).into_iter().map(|found| found.secret)
    }

    fn matches(&self, text: &[u8]) -> Vec<SecretMatch> {
        let Some(search) = &self.search else { return Vec::new() };
        let found = search.find_overlapping_iter(text).map(|found| SecretMatch {
            start: found.start(),
            end: found.end(),
            secret: self.everywhere[found.pattern().as_usize()],
        });
        found.filter(|found| is_whole_word(text, found.start, found.end)).collect()
    }
}

/// Whether a match is a whole word or path and not a part of one: `ann` in `/home/ann` and
/// `test_ann.py`, but not in `planning`; `/root` in `(/root/x)`, but not in `tk/root`.
fn is_whole_word(text: &[u8], start: usize, end: usize) -> bool {
    // Bytes outside ASCII are mostly parts of letters.
    let in_word = |byte: u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
    let in_path = |byte: u8| in_word(byte) || b"_.-/~".contains(&byte);
    let before = start.checked_sub(1).map(|at| text[at]);
    let begins = before.is_none_or(|before| match text[start] {
        b'/' => !in_path(before),
        first => !(in_word(first) && in_word(before)),
    });
    let ends = text.get(end).is_none_or(|&after| !(in_word(text[end - 1]) && in_word(after)));
    begins && ends
}

#[cfg(test)]
mod tests {
    //! What is replaced and what is kept.

    use super::*;

    fn secrets(texts: &[&str]) -> SecretSet {
        let secret = |text: &&str| Secret {
            kind: SecretKind::User,
            text: text.to_string(),
            token: format!("<{}>", text.len()),
            is_everywhere: true,
        };
        SecretSet::new(texts.iter().map(secret).collect())
    }

    #[test]
    fn whole_words_and_paths_are_replaced() {
        let secrets = secrets(&["ann", "/home/ann", "/root", "a-b"]);
        for (text, redacted) in [
            ("ann", "<3>"),
            ("/home/ann/x.py", "<9>/x.py"),
            ("/home/anna", "/home/anna"),
            ("file:///home/ann", "file:///home/<3>"),
            ("test_ann.py, planning, Ann, ann2", "test_<3>.py, planning, Ann, ann2"),
            ("tk/root /root/x ./root", "tk/root <5>/x ./root"),
            ("xa-b a-b a-bc", "xa-b <3> a-bc"),
            ("größeann", "größeann"),
            ("no secret", "no secret"),
        ] {
            assert_eq!(secrets.replace(text), redacted, "{text}");
        }
    }

    #[test]
    fn of_matches_with_the_same_start_the_longest_is_replaced() {
        let secrets = secrets(&["/a", "/a/b", "b/c", "c"]);
        assert_eq!(secrets.replace("/a/b/c"), "<4>/<1>");
        assert_eq!(secrets.replace("/a/bc"), "<2>/bc");
    }

    #[test]
    fn secrets_that_are_not_replaced_everywhere_are_not_searched_for() {
        let mut list = secrets(&["ann"]).list().to_vec();
        list[0].is_everywhere = false;
        let secrets = SecretSet::new(list);
        assert_eq!(secrets.replace("ann"), "ann");
        assert_eq!(secrets.find_in(b"ann").count(), 0);
        assert_eq!(secrets.list().len(), 1);
    }
}
