//! What must not be shared, found wherever it stands.

use std::borrow::Cow;

use aho_corasick::AhoCorasick;

use super::token::Kind;

/// A word, or a path, that is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// What kind of thing it is.
    pub kind: Kind,
    /// As it was recorded.
    pub text: String,
    /// What stands for it.
    pub token: String,
    /// Whether it is replaced wherever it stands. If not, it is too short or too common a word for that: it is
    /// replaced as a whole, in the places where it was found out.
    pub is_everywhere: bool,
}

/// Secrets that are looked for in texts.
#[derive(Debug)]
pub struct Secrets {
    list: Vec<Secret>,
    /// Of those that are replaced everywhere, by the place in `everywhere`.
    search: Option<AhoCorasick>,
    everywhere: Vec<usize>,
}

/// Where a secret stands in a text, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    start: usize,
    end: usize,
    secret: usize,
}

impl Secrets {
    /// Prepares the search.
    pub fn new(list: Vec<Secret>) -> Secrets {
        let everywhere: Vec<usize> = (0..list.len()).filter(|&at| list[at].is_everywhere).collect();
        let words = everywhere.iter().map(|&at| &list[at].text);
        // Refused only for more words than memory holds.
        let search = if everywhere.is_empty() { None } else { AhoCorasick::new(words).ok() };
        Secrets { list, search, everywhere }
    }

    /// All of them.
    pub fn list(&self) -> &[Secret] {
        &self.list
    }

    /// The text with tokens in place of secrets; of those that overlap, the first and longest.
    pub fn replace<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut found = self.find(text.as_bytes());
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_unstable_by_key(|found| (found.start, std::cmp::Reverse(found.end)));
        let (mut clean, mut at) = (String::with_capacity(text.len()), 0);
        for Found { start, end, secret } in found {
            if start >= at {
                clean.push_str(&text[at..start]);
                clean.push_str(&self.list[secret].token);
                at = end;
            }
        }
        clean.push_str(&text[at..]);
        Cow::Owned(clean)
    }

    /// The secrets that stand in a text, by their places in the list.
    pub fn within(&self, text: &[u8]) -> impl Iterator<Item = usize> + use<> {
        self.find(text).into_iter().map(|found| found.secret)
    }

    fn find(&self, text: &[u8]) -> Vec<Found> {
        let Some(search) = &self.search else { return Vec::new() };
        let found = search.find_overlapping_iter(text).map(|found| Found {
            start: found.start(),
            end: found.end(),
            secret: self.everywhere[found.pattern().as_usize()],
        });
        found.filter(|found| stands_alone(text, found.start, found.end)).collect()
    }
}

/// Whether it is a word, or a path, and not a piece of one: `ann` in `/home/ann` and in `test_ann.py`, but not in
/// `planning`; `/root` in `(/root/x)`, but not in `tk/root`.
fn stands_alone(text: &[u8], start: usize, end: usize) -> bool {
    // What is not ASCII belongs to letters, mostly.
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
    //! What is found, and what is left alone.

    use super::*;

    fn secrets(texts: &[&str]) -> Secrets {
        let secret = |text: &&str| Secret {
            kind: Kind::User,
            text: text.to_string(),
            token: format!("<{}>", text.len()),
            is_everywhere: true,
        };
        Secrets::new(texts.iter().map(secret).collect())
    }

    #[test]
    fn words_and_paths_are_replaced_and_parts_of_words_are_not() {
        let secrets = secrets(&["ann", "/home/ann", "/root", "a-b"]);
        for (text, clean) in [
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
            assert_eq!(secrets.replace(text), clean, "{text}");
        }
    }

    #[test]
    fn the_longest_of_those_that_begin_together_is_replaced() {
        let secrets = secrets(&["/a", "/a/b", "b/c", "c"]);
        assert_eq!(secrets.replace("/a/b/c"), "<4>/<1>");
        assert_eq!(secrets.replace("/a/bc"), "<2>/bc");
    }

    #[test]
    fn what_is_not_everywhere_is_not_searched_for() {
        let mut list = secrets(&["ann"]).list().to_vec();
        list[0].is_everywhere = false;
        let secrets = Secrets::new(list);
        assert_eq!(secrets.replace("ann"), "ann");
        assert_eq!(secrets.within(b"ann").count(), 0);
        assert_eq!(secrets.list().len(), 1);
    }
}
