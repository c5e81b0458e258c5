//! The Python scripts that an attached process runs.

/// A file in the session directory with the reason why the agent could not be loaded.
pub(crate) const FAILURE_FILE: &str = "failed";

/// The values in the scripts. Paths are those of the process.
#[derive(Debug)]
pub(crate) struct AttachScript {
    /// The session directory.
    pub directory: String,
    /// The agent's library.
    pub library: String,
    pub pid: i32,
    /// The offset of the native thread id in a thread state, in bytes.
    pub native_id_offset: u64,
}

impl AttachScript {
    /// The script that loads the agent and begins the recording. It writes an exception to
    /// [`FAILURE_FILE`].
    pub fn enter(&self) -> String {
        let call = format!("enter(directory, {}, {})", self.pid, self.native_id_offset);
        self.text(&call, &format!("open(directory + '/{FAILURE_FILE}', 'w').write(str(error))"))
    }

    /// The script that ends the recording. An exception means that the process is about to exit,
    /// and is ignored.
    pub fn leave(&self) -> String {
        self.text("leave(directory)", "pass")
    }

    /// Loads the library by `_imp`, which is built into every CPython, and leaves nothing behind in
    /// `sys.modules`.
    fn text(&self, call: &str, on_error: &str) -> String {
        let [directory, library] = [&self.directory, &self.library].map(|path| string_literal(path));
        format!(
            "import sys, _imp\n\
             directory = {directory}\n\
             try:\n \
                 spec = type(sys.implementation)(name='pyrec_agent', origin={library})\n \
                 _imp.create_dynamic(spec).{call}\n\
             except BaseException as error:\n \
                 {on_error}\n"
        )
    }
}

/// A Python string literal, with every character escaped.
fn string_literal(text: &str) -> String {
    let escaped: String = text.chars().map(|c| format!("\\U{:08x}", c as u32)).collect();
    format!("'{escaped}'")
}
