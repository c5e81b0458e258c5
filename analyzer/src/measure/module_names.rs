//! Module names of source files.

use pyrec_schema::Manifest;

/// Derives the module names of a recording's files from `sys.path` and the command.
#[derive(Debug)]
pub struct ModuleNames {
    /// The entries of `sys.path` of every Python, the longest first, each with a slash at its end.
    path: Vec<String>,
    main: Main,
}

/// What is executed as `__main__`.
#[derive(Debug, PartialEq, Eq)]
enum Main {
    /// A file: its path, or the end of its path.
    Script(String),
    /// The module of `-m`.
    Module(String),
    /// The code of `-c` or of standard input. The string is its `co_filename`.
    Inline(&'static str),
    /// Unknown, since the recording has no command.
    Unknown,
}

impl ModuleNames {
    /// Takes `sys.path` and the command from a manifest.
    pub fn of(manifest: &Manifest) -> ModuleNames {
        let entries = manifest.python.iter().flat_map(|python| &python.path);
        let mut path: Vec<String> = entries
            .filter(|entry| !entry.is_empty())
            .map(|entry| format!("{}/", entry.trim_end_matches('/')))
            .collect();
        path.sort_by_key(|entry| std::cmp::Reverse(entry.len()));
        ModuleNames { path, main: parse_command(&manifest.command) }
    }

    /// The module name of a file; none if neither the command nor `sys.path` gives one.
    pub fn name(&self, file: &str) -> Option<String> {
        let name = frozen_module(file).or_else(|| self.on_path(file));
        if self.is_main(file, name.as_deref()) { Some("__main__".into()) } else { name }
    }

    fn is_main(&self, file: &str, name: Option<&str>) -> bool {
        match &self.main {
            Main::Script(script) => {
                is_path_end(file, script)
                    || file
                        .strip_suffix("/__main__.py")
                        .is_some_and(|directory| is_path_end(directory, script))
            }
            Main::Module(module) => name.is_some_and(|name| match name.strip_suffix(".__main__") {
                Some(package) => package == module,
                None => name == module && !file.ends_with("/__init__.py"),
            }),
            Main::Inline(stand_in) => file == *stand_in,
            Main::Unknown => false,
        }
    }

    /// The name relative to the longest matching entry of `sys.path`: `site-packages` is inside the
    /// standard library.
    fn on_path(&self, file: &str) -> Option<String> {
        let rest = self.path.iter().find_map(|entry| file.strip_prefix(entry.as_str()))?;
        module_of_path(rest)
    }
}

/// The module name of a path relative to an entry of `sys.path`: `json/__init__.py` is `json`.
pub fn module_of_path(path: &str) -> Option<String> {
    let path = path.strip_suffix(".py")?;
    let path = path.strip_suffix("/__init__").unwrap_or(path);
    let is_name = |part: &str| {
        !part.starts_with(|c: char| c.is_ascii_digit())
            && !part.is_empty()
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    path.split('/').all(is_name).then(|| path.replace('/', "."))
}

/// The name of a frozen module: `<frozen importlib._bootstrap>` is `importlib._bootstrap`.
fn frozen_module(file: &str) -> Option<String> {
    Some(file.strip_prefix("<frozen ")?.strip_suffix('>')?.to_owned())
}

/// Whether a path ends with another one, in whole components.
fn is_path_end(path: &str, end: &str) -> bool {
    path.strip_suffix(end)
        .is_some_and(|rest| rest.is_empty() || (rest.ends_with('/') && !end.starts_with('/')))
}

/// Parses a command line as Python does. Words before the interpreter, such as `env` or `nice`, are
/// skipped. A command without an interpreter is a script with a `#!` line.
fn parse_command(command: &[String]) -> Main {
    let Some(program) = command.first() else { return Main::Unknown };
    let Some(python) = command.iter().position(|word| is_python(word)) else {
        return Main::Script(without_relative_prefix(program));
    };
    let mut words = command[python + 1..].iter();
    while let Some(word) = words.next() {
        if word == "-" {
            return Main::Inline("<stdin>");
        }
        let Some(flags) = word.strip_prefix('-') else { return Main::Script(without_relative_prefix(word)) };
        if flags.starts_with('-') {
            if flags == "-check-hash-based-pycs" {
                words.next();
            }
            continue;
        }
        // Flags can be combined, and the last one can have its argument attached: `-Im module`,
        // `-Wignore`.
        let Some(at) = flags.find(['c', 'm', 'W', 'X']) else { continue };
        let (flag, attached) = flags[at..].split_at(1);
        let argument = if attached.is_empty() { words.next().map(String::as_str) } else { Some(attached) };
        match (flag, argument) {
            ("c", _) => return Main::Inline("<string>"),
            ("m", Some(module)) => return Main::Module(module.to_owned()),
            _ => {}
        }
    }
    Main::Inline("<stdin>")
}

fn is_python(word: &str) -> bool {
    let name = word.rsplit('/').next().unwrap_or(word);
    let version = name.strip_prefix("python").or_else(|| name.strip_prefix("pypy"));
    version.is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 't' | 'd')))
}

/// A path without leading `./` and `../`, since the working directory of the command is unknown.
fn without_relative_prefix(path: &str) -> String {
    let mut path = path;
    while let Some(rest) = path.strip_prefix("./").or_else(|| path.strip_prefix("../")) {
        path = rest;
    }
    path.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    //! Names of modules and of `__main__`.

    use super::*;

    fn modules(path: &[&str], command: &str) -> ModuleNames {
        let mut path: Vec<String> =
            path.iter().map(|entry| format!("{}/", entry.trim_end_matches('/'))).collect();
        path.sort_by_key(|entry| std::cmp::Reverse(entry.len()));
        ModuleNames { path, main: parse_command(&command.split(' ').map(str::to_owned).collect::<Vec<_>>()) }
    }

    const PATH: [&str; 4] =
        ["/srv/app", "/usr/lib/python313.zip", "/usr/lib/python3.13", "/usr/lib/python3.13/site-packages/"];

    #[test]
    fn the_longest_entry_of_the_path_names_a_module() {
        let modules = modules(&PATH, "python3 /srv/app/run.py");
        for (file, module) in [
            ("/usr/lib/python3.13/json/decoder.py", Some("json.decoder")),
            ("/usr/lib/python3.13/json/__init__.py", Some("json")),
            ("/usr/lib/python3.13/site-packages/rich/text.py", Some("rich.text")),
            ("/usr/lib/python313.zip/heapq.py", Some("heapq")),
            ("/srv/app/shop/cart.py", Some("shop.cart")),
            ("<frozen importlib._bootstrap>", Some("importlib._bootstrap")),
            ("/srv/application/x.py", None),
            ("/srv/app/my-tool.py", None),
            ("/srv/app/template.html", None),
            ("<string>", None),
            ("", None),
        ] {
            assert_eq!(modules.name(file).as_deref(), module, "{file}");
        }
    }

    #[test]
    fn the_executed_file_is_main() {
        for (command, file) in [
            ("python3.13 run.py", "/srv/app/run.py"),
            ("python ./tools/run.py --fast", "/srv/app/tools/run.py"),
            ("python ../app/run.py", "/srv/app/run.py"),
            ("/usr/bin/python3 -X dev -Wignore -u /srv/app/run.py run2.py", "/srv/app/run.py"),
            ("python run.py", "run.py"),
            ("python -m shop", "/srv/app/shop/__main__.py"),
            ("python -Im shop.cart", "/srv/app/shop/cart.py"),
            ("python -mshop.cart", "/srv/app/shop/cart.py"),
            ("python /srv/app/shop", "/srv/app/shop/__main__.py"),
            ("python -c print()", "<string>"),
            ("env A=1 nice python3 run.py", "/srv/app/run.py"),
            ("/venv/bin/tool x.py", "/venv/bin/tool"),
            ("tool", "/venv/bin/tool"),
            ("python - x", "<stdin>"),
        ] {
            let found = modules(&PATH, command).name(file);
            assert_eq!(found.as_deref(), Some("__main__"), "{command}: {file}");
        }
    }

    #[test]
    fn other_files_are_not_main() {
        for (command, file, module) in [
            ("python run.py cart.py", "/srv/app/cart.py", Some("cart")),
            ("python -m shop", "/srv/app/shop/__init__.py", Some("shop")),
            ("python -m shop", "/srv/app/shop/cart.py", Some("shop.cart")),
            ("python /x/run.py", "/srv/app/run.py", Some("run")),
            ("python un.py", "/srv/app/run.py", Some("run")),
            ("python-config x.py", "/srv/app/x.py", Some("x")),
        ] {
            assert_eq!(modules(&PATH, command).name(file).as_deref(), module, "{command}: {file}");
        }
    }
}
