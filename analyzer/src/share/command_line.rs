//! Which words of a command line are paths, flags of Python, or arguments of the program.

/// The kind of a word of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordKind {
    /// The path of a program or a script.
    Path,
    /// A flag of Python, or the name of the module that it runs.
    PythonFlag,
    /// Anything else.
    Argument,
}

/// Classifies each word. The words before the interpreter and those after the script or module are
/// arguments. If no word names an interpreter, the first word is a path.
pub fn classify<S: AsRef<str>>(words: &[S]) -> Vec<WordKind> {
    let mut kinds = vec![WordKind::Argument; words.len()];
    let Some(python) = words.iter().position(|word| is_python(word.as_ref())) else {
        kinds.iter_mut().take(1).for_each(|program| *program = WordKind::Path);
        return kinds;
    };
    kinds[python] = WordKind::Path;
    let mut at = python + 1;
    while let Some(word) = words.get(at).map(AsRef::as_ref) {
        let Some(flags) = word.strip_prefix('-') else {
            kinds[at] = WordKind::Path;
            break;
        };
        // In a group of short flags, such as `-uWignore`, the last may have its argument attached.
        let with_argument = if flags.starts_with('-') { None } else { flags.find(['c', 'm', 'W', 'X']) };
        let Some(flag) = with_argument else {
            kinds[at] = WordKind::PythonFlag;
            at += 1;
            continue;
        };
        let is_attached = flag + 1 < flags.len();
        let (is_module, is_code) = (flags[flag..].starts_with('m'), flags[flag..].starts_with('c'));
        if is_module || !is_attached {
            kinds[at] = WordKind::PythonFlag;
        }
        if is_module && !is_attached {
            kinds.iter_mut().skip(at + 1).take(1).for_each(|module| *module = WordKind::PythonFlag);
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
    //! Command lines with and without an interpreter.

    use super::*;

    #[test]
    fn python_flags_are_distinguished_from_arguments() {
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
            let found = classify(&words).into_iter().map(|word| match word {
                WordKind::Path => 'P',
                WordKind::PythonFlag => 'K',
                WordKind::Argument => 'A',
            });
            assert_eq!(found.collect::<String>(), expected, "{command}");
        }
        assert_eq!(classify::<&str>(&[]), []);
    }
}
