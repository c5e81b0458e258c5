//! A command line, word by word: what Python reads in it, and what is the program's.

/// What a word of a command line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A program or a script: a path.
    Path,
    /// One of Python's own flags, or a module's name.
    Known,
    /// Anything else.
    Argument,
}

/// What each word is. Before the interpreter and after what it runs, all are arguments.
pub fn of<S: AsRef<str>>(words: &[S]) -> Vec<Word> {
    let mut kinds = vec![Word::Argument; words.len()];
    let Some(python) = words.iter().position(|word| is_python(word.as_ref())) else {
        kinds.iter_mut().take(1).for_each(|program| *program = Word::Path);
        return kinds;
    };
    kinds[python] = Word::Path;
    let mut at = python + 1;
    while let Some(word) = words.get(at).map(AsRef::as_ref) {
        let Some(flags) = word.strip_prefix('-') else {
            kinds[at] = Word::Path;
            break;
        };
        // The last of several flags may have its argument attached.
        let with_argument = if flags.starts_with('-') { None } else { flags.find(['c', 'm', 'W', 'X']) };
        let Some(flag) = with_argument else {
            kinds[at] = Word::Known;
            at += 1;
            continue;
        };
        let is_attached = flag + 1 < flags.len();
        let (is_module, is_code) = (flags[flag..].starts_with('m'), flags[flag..].starts_with('c'));
        if is_module || !is_attached {
            kinds[at] = Word::Known;
        }
        if is_module && !is_attached {
            kinds.iter_mut().skip(at + 1).take(1).for_each(|module| *module = Word::Known);
        }
        if is_module || is_code {
            break;
        }
        at += if is_attached { 1 } else { 2 };
    }
    kinds
}

fn is_python(word: &str) -> bool {
    let name = word.rsplit('/').next().unwrap_or(word);
    let version = name.strip_prefix("python");
    version.is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 't' | 'd')))
}

#[cfg(test)]
mod tests {
    //! Command lines.

    use super::*;

    #[test]
    fn pythons_own_words_are_told_from_the_programs() {
        for (command, expected) in [
            ("python3 run.py -m x", "PPAA"),
            ("/usr/bin/python3.13 -u -X dev -W ignore run.py secret", "PKKAKAPA"),
            ("python3 -Wignore -m pytest -m slow", "PAKKAA"),
            ("python3 -mpytest tests", "PKA"),
            ("python3 -c print(1) x", "PKAA"),
            ("env A=b python3 run.py", "AAPP"),
            ("gunicorn app:app -c secret.py", "PAAA"),
            ("python3", "P"),
            ("python3 -m", "PK"),
        ] {
            let words: Vec<&str> = command.split(' ').collect();
            let found = of(&words).into_iter().map(|word| match word {
                Word::Path => 'P',
                Word::Known => 'K',
                Word::Argument => 'A',
            });
            assert_eq!(found.collect::<String>(), expected, "{command}");
        }
        assert_eq!(of::<&str>(&[]), []);
    }
}
