//! Names of frames for reports.

use std::sync::Arc;

use pyrec_schema::{Code, Manifest, Names};

use super::module_names::ModuleNames;
use crate::CallTree;
use crate::tree::Frame;

/// The names of frames.
#[derive(Debug)]
pub struct FrameNames<'a> {
    names: &'a Names,
    modules: ModuleNames,
}

impl<'a> FrameNames<'a> {
    /// The names of the frames of a call tree.
    pub fn of(calls: &'a CallTree) -> Self {
        FrameNames::new(&calls.names, &calls.manifest)
    }

    /// The names of the frames of a trace.
    pub fn new(names: &'a Names, manifest: &Manifest) -> Self {
        FrameNames { names, modules: ModuleNames::of(manifest) }
    }

    /// The text of the code column; none if the frame is not a Python function.
    pub fn code(&self, frame: Frame) -> Option<Arc<str>> {
        match frame {
            Frame::Function(code) => Some(self.names.code_str(code)),
            _ => None,
        }
    }

    /// The module name of a file.
    pub fn module(&self, file: &str) -> Option<String> {
        self.modules.name(file)
    }

    /// The name of a C function; none if the frame is not one.
    pub fn cfunction(&self, frame: Frame) -> Option<Arc<str>> {
        match frame {
            Frame::Cfunction(text) => Some(self.names.text_str(text).unwrap_or_else(|| Arc::from("?"))),
            _ => None,
        }
    }

    /// The name for reports, with module or file and line: `Scheduler.run (richards:412)`.
    pub fn label(&self, frame: Frame) -> String {
        match frame {
            Frame::Function(code) => self.code_label(&Code::parse(&self.names.code_str(code))),
            Frame::Cfunction(_) => format!("{} (C)", self.cfunction(frame).unwrap_or_default()),
            Frame::Gc => "(garbage collection)".into(),
            Frame::Lost => "(unknown caller: events were lost)".into(),
            Frame::Thread => "(thread)".into(),
        }
    }

    fn code_label(&self, code: &Code) -> String {
        function_label(&qualname(code), self.module(code.file).as_deref(), Some(code.file), code.first_line)
    }
}

/// The name of a function for reports: its qualified name with its module, else with its file
/// without directories.
pub fn function_label(
    qualname: &str,
    module: Option<&str>,
    file: Option<&str>,
    first_line: Option<u32>,
) -> String {
    let base_name = file.map(|file| file.rsplit('/').next().unwrap_or(file)).filter(|base| !base.is_empty());
    match (module.or(base_name), first_line) {
        (None, _) => qualname.to_owned(),
        (Some(origin), Some(line)) if qualname != "<module>" => format!("{qualname} ({origin}:{line})"),
        (Some(origin), _) => format!("{qualname} ({origin})"),
    }
}

/// The qualified name as Python has it. The code column has a semicolon for each colon in it. An
/// empty name becomes a question mark.
pub fn qualname(code: &Code) -> String {
    if code.qualname.is_empty() { "?".into() } else { code.qualname.replace(';', ":") }
}

#[cfg(test)]
mod tests {
    //! Labels.

    use pyrec_schema::Names;

    use super::*;

    #[test]
    fn a_label_has_name_module_and_line() {
        let names = Names::new();
        let manifest = crate::testing::manifest(&["python", "run.py"], &["/srv", "/lib"]);
        let frame_names = FrameNames { names: &names, modules: ModuleNames::of(&manifest) };
        for (code, label) in [
            ("/srv/run.py:3:Shop.sell", "Shop.sell (__main__:3)"),
            ("/lib/json/decoder.py:1:<module>", "<module> (json.decoder)"),
            ("/opt/x/tool.py:7:f", "f (tool.py:7)"),
            ("/opt/x/tool.py::f", "f (tool.py)"),
            ("", "?"),
            ("alone", "alone"),
        ] {
            assert_eq!(frame_names.label(Frame::Function(names.code(code))), label, "{code}");
        }
        assert_eq!(frame_names.label(Frame::Cfunction(names.text("len"))), "len (C)");
    }
}
