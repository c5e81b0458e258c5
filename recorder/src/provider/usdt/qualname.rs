//! Qualified names from the source text, for the CPythons before 3.11, whose code objects have only
//! a plain name.
//!
//! ```text
//! class Shop:                 Shop
//!     def open(self):         Shop.open
//!         return [            Shop.open.<locals>.<listcomp>
//!             key() for …
//! ```
//!
//! A code object is found in the text by its first line and its name. Where two that differ have
//! both in common, as lambdas of one line may, or where the text is not at hand, the plain name
//! must do.

use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;
use tree_sitter::{Node, Parser};

use crate::os::fs_credentials::switch_to;
use crate::os::user::User;

/// A longer file is not read.
const MAX_BYTES: u64 = 1 << 22;

/// Limit of the depth of syntax nodes; CPython compiles no program that is deeper.
const MAX_DEPTH: usize = 1000;

/// Qualified names by file, read on first use.
#[derive(Default)]
pub struct Qualnames {
    files: FxHashMap<String, Names>,
}

/// Qualified names by first line and name; `None` if ambiguous.
type Names = FxHashMap<(u32, String), Option<String>>;

impl Qualnames {
    /// The qualified name of a code object, if the source text determines it.
    pub fn of(&mut self, pid: i32, file: &str, first_line: u32, name: &str) -> Option<&str> {
        if !self.files.contains_key(file) {
            let names = read(pid, file).map(|text| names(&text)).unwrap_or_default();
            self.files.insert(file.to_owned(), names);
        }
        self.files.get(file)?.get(&(first_line, name.to_owned()))?.as_deref()
    }
}

/// The text as the process sees it. A path that is relative to an unknown folder is no
/// file.
fn read(pid: i32, file: &str) -> Option<Vec<u8>> {
    let inside = Path::new(file).strip_prefix("/").ok()?;
    let _credentials = switch_to(User::for_files_of(pid).as_ref()).ok()?;
    let seen: PathBuf = Path::new(&format!("/proc/{pid}/root")).join(inside);
    let path = [seen.as_path(), Path::new(file)].into_iter().find(|path| path.is_file())?;
    let bytes = path.metadata().ok()?.len();
    if bytes <= MAX_BYTES { std::fs::read(path).ok() } else { None }
}

/// The kind of scope that encloses a syntax node.
#[derive(Clone, Copy)]
enum Scope {
    Module,
    Class,
    Function,
}

struct NameCollector<'text> {
    text: &'text [u8],
    names: Names,
}

/// The context of a syntax node.
#[derive(Clone, Copy)]
struct Context<'a> {
    scope: Scope,
    qualname: &'a str,
    /// Names that a `global` statement of the scope binds in the module.
    globals: &'a [String],
    depth: usize,
}

fn names(text: &[u8]) -> Names {
    let mut parser = Parser::new();
    let mut walk = NameCollector { text, names: Names::default() };
    let parsed = parser.set_language(&tree_sitter_python::LANGUAGE.into()).ok();
    if let Some(tree) = parsed.and_then(|()| parser.parse(text, None)) {
        walk.children(
            tree.root_node(),
            Context { scope: Scope::Module, qualname: "", globals: &[], depth: 0 },
        );
    }
    walk.names
}

impl NameCollector<'_> {
    fn children(&mut self, node: Node<'_>, place: Context<'_>) {
        for child in node.named_children(&mut node.walk()) {
            self.visit(child, place);
        }
    }

    fn visit(&mut self, node: Node<'_>, place: Context<'_>) {
        let place = Context { depth: place.depth + 1, ..place };
        if place.depth > MAX_DEPTH {
            return;
        }
        match node.kind() {
            "function_definition" => self.definition(node, node, Scope::Function, place),
            "class_definition" => self.definition(node, node, Scope::Class, place),
            "decorated_definition" => self.decorated(node, place),
            "lambda" => {
                self.inner(node, node.child_by_field_name("body"), "<lambda>", Scope::Function, place)
            }
            "list_comprehension" => self.comprehension(node, "<listcomp>", place),
            "set_comprehension" => self.comprehension(node, "<setcomp>", place),
            "dictionary_comprehension" => self.comprehension(node, "<dictcomp>", place),
            "generator_expression" => self.comprehension(node, "<genexpr>", place),
            _ => self.children(node, place),
        }
    }

    /// The first line of a decorated code is that of its first decorator.
    fn decorated(&mut self, node: Node<'_>, place: Context<'_>) {
        for child in node.named_children(&mut node.walk()) {
            match child.kind() {
                "function_definition" => self.definition(child, node, Scope::Function, place),
                "class_definition" => self.definition(child, node, Scope::Class, place),
                _ => self.visit(child, place),
            }
        }
    }

    /// `first` is what the code begins with.
    fn definition(&mut self, node: Node<'_>, first: Node<'_>, scope: Scope, place: Context<'_>) {
        let name = node.child_by_field_name("name").and_then(|name| name.utf8_text(self.text).ok());
        let name = name.unwrap_or_default().to_owned();
        let body = node.child_by_field_name("body");
        // Defaults, annotations and bases are computed outside.
        for child in node.named_children(&mut node.walk()).filter(|child| Some(*child) != body) {
            self.visit(child, place);
        }
        let qualname = self.name(first, &name, place);
        let mut globals = Vec::new();
        if let Some(body) = body {
            self.globals(body, &mut globals, place.depth);
            self.children(
                body,
                Context { scope, qualname: &qualname, globals: &globals, depth: place.depth },
            );
        }
    }

    /// A code with a name of its own in angle brackets; all but `body` is computed outside.
    fn inner(
        &mut self,
        node: Node<'_>,
        body: Option<Node<'_>>,
        name: &str,
        scope: Scope,
        place: Context<'_>,
    ) {
        let qualname = self.name(node, name, place);
        for child in node.named_children(&mut node.walk()) {
            if Some(child) == body {
                self.visit(child, Context { scope, qualname: &qualname, globals: &[], depth: place.depth });
            } else {
                self.visit(child, place);
            }
        }
    }

    /// What the first `for` goes through is computed outside; all else is inside.
    fn comprehension(&mut self, node: Node<'_>, name: &str, place: Context<'_>) {
        let qualname = self.name(node, name, place);
        let inside =
            Context { scope: Scope::Function, qualname: &qualname, globals: &[], depth: place.depth };
        let clause = node.named_children(&mut node.walk()).find(|child| child.kind() == "for_in_clause");
        for child in node.named_children(&mut node.walk()) {
            if Some(child) != clause {
                self.visit(child, inside);
                continue;
            }
            let iterated = child.child_by_field_name("right");
            for part in child.named_children(&mut child.walk()) {
                self.visit(part, if Some(part) == iterated { place } else { inside });
            }
        }
    }

    /// Notes the qualified name of a code that begins at `first`.
    fn name(&mut self, first: Node<'_>, name: &str, place: Context<'_>) -> String {
        let qualname = match place.scope {
            Scope::Module => name.to_owned(),
            _ if place.globals.iter().any(|global| global == name) => name.to_owned(),
            Scope::Class => format!("{}.{name}", place.qualname),
            Scope::Function => format!("{}.<locals>.{name}", place.qualname),
        };
        let line = first.start_position().row as u32 + 1;
        let noted = self.names.entry((line, name.to_owned())).or_insert_with(|| Some(qualname.clone()));
        if noted.as_ref() != Some(&qualname) {
            *noted = None;
        }
        qualname
    }

    /// The names in `global` statements of a scope, without those of the scopes in it.
    fn globals(&self, node: Node<'_>, found: &mut Vec<String>, depth: usize) {
        for child in node.named_children(&mut node.walk()) {
            match child.kind() {
                "global_statement" => {
                    let names = child.named_children(&mut child.walk()).collect::<Vec<_>>();
                    let names = names.iter().filter_map(|name| name.utf8_text(self.text).ok());
                    found.extend(names.map(str::to_owned));
                }
                "function_definition" | "class_definition" | "lambda" => {}
                _ if depth < MAX_DEPTH => self.globals(child, found, depth + 1),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_names_are_those_that_cpython_gives() {
        if !Path::new("/usr/bin/python3.11").exists() {
            return crate::test_support::skip("no /usr/bin/python3.11");
        }
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/programs/matrix.py");
        let found = names(&std::fs::read(&program).expect("it is there"));
        let ours = found.into_iter().map(|((line, name), qualname)| (format!("{line}\t{name}"), qualname));
        let theirs = crate::provider::usdt::tests::compiled_names(&program);
        assert_eq!(ours.collect::<BTreeMap<_, _>>(), theirs);
        assert!(theirs.len() > 80, "{theirs:?}");
    }

    #[test]
    fn names_by_the_rules_of_the_language() {
        let text = "\
import functools
class Shop(list):
    @functools.cache
    def open(self, key=lambda: 0):
        def inner(): return [x for x in (lambda: [])()]
        return inner
    prices = {k: v for k, v in ()}
class Other:
    def open(self): pass
def setup():
    global late
    def late(): pass
a, b = lambda: 1, lambda: (lambda: 2)
";
        let found = names(text.as_bytes());
        let name = |line: u32, name: &str| found.get(&(line, name.to_owned())).cloned().flatten();
        for (line, plain, qualname) in [
            (2, "Shop", "Shop"),
            (3, "open", "Shop.open"),
            (4, "<lambda>", "Shop.<lambda>"),
            (5, "inner", "Shop.open.<locals>.inner"),
            (5, "<listcomp>", "Shop.open.<locals>.inner.<locals>.<listcomp>"),
            (5, "<lambda>", "Shop.open.<locals>.inner.<locals>.<lambda>"),
            (7, "<dictcomp>", "Shop.<dictcomp>"),
            (9, "open", "Other.open"),
            (12, "late", "late"),
        ] {
            assert_eq!(name(line, plain).as_deref(), Some(qualname), "{line} {plain}");
        }
        // Three lambdas of one line, of which one is in another: they cannot be told apart by line
        // and name.
        assert_eq!(found.get(&(13, "<lambda>".into())), Some(&None));
        assert_eq!(name(99, "open"), None);
    }

    #[test]
    fn a_text_that_is_not_python_has_no_names_and_does_no_harm() {
        assert!(names(b"\xff\xfe \0 )))").is_empty());
        names("(".repeat(100_000).as_bytes());
        names("lambda: ".repeat(20_000).as_bytes());
        assert_eq!(Qualnames::default().of(std::process::id() as i32, "<string>", 1, "f"), None);
        assert_eq!(Qualnames::default().of(std::process::id() as i32, "/nowhere.py", 1, "f"), None);
    }
}
