//! A Python function that calls an empty one: to check the layout of frames, and to measure the
//! cost of an event.

use core::ffi::{CStr, c_int};

use crate::python::api::{Owned, PythonApi, Raised};

const SOURCE: &CStr = c"\
def call(): pass
def calls():
    for _ in range(500): call()
";

/// Two Python functions: `calls` runs `call`, which is empty, 500 times.
pub struct CallLoop<'py> {
    python: &'py PythonApi,
    pub call: Owned<'py>,
    pub calls: Owned<'py>,
}

impl<'py> CallLoop<'py> {
    /// Compiles the functions.
    pub fn new(python: &'py PythonApi) -> Result<CallLoop<'py>, Raised> {
        /// `Py_file_input`.
        const FILE_INPUT: c_int = 257;
        // SAFETY: the strings end in zero bytes, and every result is checked before use.
        unsafe {
            let code =
                python.owned((python.compile_string)(SOURCE.as_ptr(), c"<pyrec>".as_ptr(), FILE_INPUT))?;
            let globals = python.owned((python.dict_new)())?;
            let builtins = (python.get_builtins)();
            python.check_status((python.mapping_set_item_string)(
                globals.as_ptr(),
                c"__builtins__".as_ptr(),
                builtins,
            ))?;
            python.owned((python.eval_code)(code.as_ptr(), globals.as_ptr(), globals.as_ptr()))?;
            let call = python.owned((python.mapping_get_item_string)(globals.as_ptr(), c"call".as_ptr()))?;
            let calls =
                python.owned((python.mapping_get_item_string)(globals.as_ptr(), c"calls".as_ptr()))?;
            Ok(CallLoop { python, call, calls })
        }
    }

    /// Runs `calls` once.
    pub fn run(&self) -> Result<(), Raised> {
        self.python.call(self.calls.as_ptr(), &[]).map(drop)
    }
}
