//! The documentation: its links, the files that it names, and the options in its examples.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Folders of the repository. A name that begins with one of them is the path of a file.
const FOLDERS: [&str; 11] = [
    "analyzer/",
    "bench/",
    "classic/",
    "docs/",
    "fuzz/src/",
    "recorder/",
    "schema/",
    "scripts/",
    "src/",
    "testdata/",
    "tests/",
];

/// A page in Markdown.
struct Page {
    path: PathBuf,
    text: String,
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut broken = Vec::new();
    for page in pages() {
        for target in links(&page.text) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let folder = page.path.parent().expect("a page is in a folder");
            let path = if file.is_empty() { page.path.clone() } else { folder.join(file) };
            let has_anchor = || {
                let text = fs::read_to_string(&path).unwrap_or_default();
                anchor.is_empty() || headings(&text).contains(anchor)
            };
            if !path.exists() || !has_anchor() {
                broken.push(format!("{}: {target}", page.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn every_page_can_be_reached_from_the_map() {
    let root = Path::new(ROOT);
    let mut reached = BTreeSet::new();
    let mut next = vec![root.join("README.md")];
    while let Some(path) = next.pop() {
        let path = path.canonicalize().expect("the page exists");
        if path.extension().is_some_and(|extension| extension == "md") && reached.insert(path.clone()) {
            let text = fs::read_to_string(&path).expect("a page is text");
            let files = links(&text).map(|target| target.split('#').next().unwrap_or_default());
            next.extend(files.filter(|file| !file.is_empty()).map(|file| path.with_file_name(file)));
        }
    }
    let unreached: Vec<PathBuf> = pages()
        .into_iter()
        .map(|page| page.path)
        .filter(|path| path.starts_with(root.join("docs")) && !reached.contains(path))
        .collect();
    assert!(unreached.is_empty(), "{unreached:?}");
}

#[test]
fn named_files_exist() {
    let mut missing = Vec::new();
    for page in pages() {
        for name in code_spans(&page.text).filter_map(repository_path) {
            if !Path::new(ROOT).join(name).exists() {
                missing.push(format!("{}: {name}", page.path.display()));
            }
        }
    }
    for file in sources() {
        let text = fs::read_to_string(&file).unwrap_or_default();
        for name in text.split(|c: char| !(c.is_ascii_alphanumeric() || "/-_.".contains(c))) {
            let name = name.trim_end_matches('.');
            let is_page = name.starts_with("docs/") && name.ends_with(".md");
            if is_page && !Path::new(ROOT).join(name).exists() {
                missing.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(missing.is_empty(), "no such files:\n{}", missing.join("\n"));
}

#[cfg(feature = "record")]
#[test]
fn examples_use_options_that_exist() {
    let commands: BTreeMap<String, Options> = names_of_commands().into_iter().map(options_of).collect();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for page in pages() {
        for line in page.text.lines() {
            for example in line.split("pyrec ").skip(1) {
                let mut words = example.split_whitespace();
                let Some(options) = words.next().and_then(|name| commands.get(name)) else { continue };
                checked += 1;
                for option in options_in(words, options) {
                    if !options.known.contains(option) {
                        wrong.push(format!("{}: {option} in `pyrec {example}`", page.path.display()));
                    }
                }
            }
        }
    }
    assert!(checked > 100, "only {checked} examples were found");
    assert!(wrong.is_empty(), "no such options:\n{}", wrong.join("\n"));
}

/// The options of a command.
#[cfg(feature = "record")]
#[derive(Default)]
struct Options {
    known: BTreeSet<String>,
    /// Those that are followed by a value.
    with_value: BTreeSet<String>,
    /// Whether the first word that is no option ends the options.
    ends_with_command: bool,
}

/// The options in the words after a command's name, up to the end of the command.
#[cfg(feature = "record")]
fn options_in<'a>(words: impl Iterator<Item = &'a str>, options: &Options) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut is_value = false;
    for word in words {
        let is_end = |c: char| "`#|;&()<>…".contains(c);
        let ends = word.contains(is_end);
        let word = word.split(is_end).next().unwrap_or(word).trim_end_matches([',', '.', ':', '"', '\'']);
        let option = word.split('=').next().unwrap_or(word);
        let is_program_option = options.ends_with_command && ["-m", "-c", "--"].contains(&option);
        if is_program_option || (options.ends_with_command && !is_value && !option.starts_with('-')) {
            break;
        }
        if !is_value && option.starts_with('-') && option.len() > 1 {
            found.push(option);
        }
        is_value = !is_value && options.with_value.contains(option) && option == word;
        if ends {
            break;
        }
    }
    found
}

/// Reads a command's help page.
#[cfg(feature = "record")]
fn options_of(name: String) -> (String, Options) {
    let mut options =
        Options { ends_with_command: ["record", "top"].contains(&&*name), ..Options::default() };
    for line in help(&[&name]).lines().map(str::trim_start).filter(|line| line.starts_with('-')) {
        let usage = line.split("  ").next().unwrap_or(line);
        let names = usage.split([' ', ',', '=']).filter(|word| word.starts_with('-'));
        for name in names.map(|word| word.split('[').next().unwrap_or(word)) {
            options.known.insert(name.to_owned());
            if usage.contains('<') {
                options.with_value.insert(name.to_owned());
            }
        }
    }
    (name, options)
}

/// The commands on the page of `pyrec --help`, and the two that it hides.
#[cfg(feature = "record")]
fn names_of_commands() -> Vec<String> {
    let page = help(&[]);
    let lines = page.lines().filter(|line| line.starts_with("  ") && !line.starts_with("  -"));
    let names = lines.filter_map(|line| line.split_whitespace().next()).filter(|word| *word != "pyrec");
    names.chain(["completions", "man"]).map(String::from).collect()
}

#[cfg(feature = "record")]
fn help(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pyrec")).args(words).arg("--help").output();
    let output = output.expect("pyrec runs");
    String::from_utf8(output.stdout).expect("a help page is text")
}

/// Every page of the repository.
fn pages() -> Vec<Page> {
    let read = |path: PathBuf| Page { text: fs::read_to_string(&path).expect("a page is text"), path };
    files(&["md"]).into_iter().map(read).collect()
}

/// Every source file that may name a page.
fn sources() -> Vec<PathBuf> {
    files(&["c", "py", "rs", "toml", ""])
}

/// The files of the repository with one of these extensions, sorted. Folders of builds and hidden
/// ones are left out.
fn files(extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(ROOT)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository is readable") {
            let path = entry.expect("a folder of the repository is readable").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            if name.starts_with('.') || name == "target" {
                continue;
            } else if path.is_dir() {
                folders.push(path);
            } else if extensions.contains(&extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The targets of the links in a page, without those on the web.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    targets.filter(|target| !target.contains("://"))
}

/// The anchors that GitHub makes of a page's headings.
fn headings(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        if let Some(title) = line.strip_prefix('#').filter(|_| !is_code) {
            let title = title.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            anchors.insert(kept.collect::<String>().replace(' ', "-"));
        }
    }
    anchors
}

/// The texts between backticks within a line.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with("```")).flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// The path in a code span, if it is one: without patterns and placeholders.
fn repository_path(span: &str) -> Option<&str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
    let is_path = FOLDERS.iter().any(|folder| span.starts_with(folder)) && span.chars().all(is_plain);
    is_path.then_some(span)
}
