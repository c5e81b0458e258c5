//! What the entered process runs.

/// The file in the session's directory that says why the agent could not come in.
pub(crate) const FAILED: &str = "failed";

/// A script, as Python reads it.
#[derive(Debug)]
pub(crate) struct Script {
    /// The session's directory, as the process sees it.
    pub directory: String,
    /// The agent's library, as the process sees it.
    pub library: String,
    /// The process.
    pub pid: i32,
    /// Where a thread state has the number of its thread.
    pub native_id_offset: u64,
}

impl Script {
    /// Loads the library, and begins.
    pub fn enter(&self) -> String {
        let call = format!("enter(directory, {}, {})", self.pid, self.native_id_offset);
        self.text(&call, &format!("open(directory + '/{FAILED}', 'w').write(str(error))"))
    }

    /// Ends. If that fails the process is about to end itself.
    pub fn leave(&self) -> String {
        self.text("leave(directory)", "pass")
    }

    /// By `_imp`, which every CPython has built in, and without a trace in `sys.modules`.
    fn text(&self, call: &str, on_error: &str) -> String {
        let [directory, library] = [&self.directory, &self.library].map(|path| literal(path));
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

/// A string literal.
fn literal(text: &str) -> String {
    let escaped: String = text.chars().map(|c| format!("\\U{:08x}", c as u32)).collect();
    format!("'{escaped}'")
}
