//! CPython's C API, looked up in the process at run time, so that one library serves every version,
//! linked statically or as a shared library.

use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::ptr::{self, NonNull};

use crate::os;

/// `PyObject`.
#[repr(C)]
pub struct PyObject([u8; 0]);

/// `PyMethodDef`.
#[repr(C)]
pub struct PyMethodDef {
    pub name: *const c_char,
    pub function: *const c_void,
    pub flags: c_int,
    pub doc: *const c_char,
}

// SAFETY: the agent's definitions are constants, and CPython does not write to them.
unsafe impl Sync for PyMethodDef {}

/// `METH_VARARGS | METH_KEYWORDS`.
pub const METH_VARARGS_KEYWORDS: c_int = 1 | 2;

/// `PyCFunctionWithKeywords`: self, tuple of arguments, dictionary of keywords or null.
///
/// It may be unwound: a finalizing interpreter ends the daemon threads that run Python code by
/// `pthread_exit`.
pub type PyCFunctionWithKeywords =
    unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;

/// `Py_tracefunc`, a profile or trace function: object, frame, event (`PyTrace_…`), argument.
pub type TraceFunction = unsafe extern "C" fn(*mut PyObject, *mut PyObject, c_int, *mut PyObject) -> c_int;

pub const PYTRACE_CALL: c_int = 0;
pub const PYTRACE_LINE: c_int = 2;
pub const PYTRACE_RETURN: c_int = 3;
pub const PYTRACE_C_CALL: c_int = 4;
pub const PYTRACE_C_EXCEPTION: c_int = 5;
pub const PYTRACE_C_RETURN: c_int = 6;

/// `PyType_Slot`.
#[repr(C)]
pub struct PyTypeSlot(pub c_int, pub *const c_void);

/// `PyType_Spec`.
#[repr(C)]
pub struct PyTypeSpec {
    pub name: *const c_char,
    pub size: c_int,
    pub item_size: c_int,
    pub flags: u32,
    pub slots: *const PyTypeSlot,
}

/// `PyMemberDef`.
#[repr(C)]
pub struct PyMemberDef {
    pub name: *const c_char,
    pub kind: c_int,
    pub offset: isize,
    pub flags: c_int,
    pub doc: *const c_char,
}

macro_rules! api {
    ($($field:ident = $($symbol:literal)|+: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions that the agent uses in every version, under their names without `Py`.
        pub struct PythonApi {
            $(pub $field: unsafe extern "C-unwind" fn($($argument),*) $(-> $result)?,)*
            /// `Py_None`.
            pub none: *mut PyObject,
            /// `PyBaseObject_Type`.
            pub object_type: *mut PyObject,
            /// `PyVectorcall_Call`, to be put into a type's slot. In CPython since 3.8.
            pub vectorcall_call: *mut c_void,
            /// `PyFrame_GetCode`; null before 3.9.
            frame_get_code: *mut c_void,
            /// Major and minor version.
            pub version: (u32, u32),
        }

        impl PythonApi {
            /// Looks up the functions; returns `None` if one is missing.
            pub fn find() -> Option<PythonApi> {
                Some(PythonApi {
                    $($field: {
                        let address = first_symbol(&[$($symbol),+])?;
                        // SAFETY: CPython's headers declare the function with this type.
                        unsafe {
                            core::mem::transmute::<
                                *mut c_void,
                                unsafe extern "C-unwind" fn($($argument),*) $(-> $result)?,
                            >(address)
                        }
                    },)*
                    none: first_symbol(&[c"_Py_NoneStruct"])?.cast(),
                    object_type: first_symbol(&[c"PyBaseObject_Type"])?.cast(),
                    vectorcall_call: first_symbol(&[c"PyVectorcall_Call"])?,
                    frame_get_code: os::symbol(c"PyFrame_GetCode"),
                    version: version(),
                })
            }
        }
    };
}

/// The address of the first of these symbols that is defined: names of one item, the newest first.
fn first_symbol(symbols: &[&CStr]) -> Option<*mut c_void> {
    symbols.iter().map(|symbol| os::symbol(symbol)).find(|address| !address.is_null())
}

type Any = *mut PyObject;
type Text = *const c_char;

api! {
    inc_ref = c"Py_IncRef": fn(Any);
    dec_ref = c"Py_DecRef": fn(Any);
    add_pending_call = c"Py_AddPendingCall": fn(extern "C" fn(*mut c_void) -> c_int, *mut c_void) -> c_int;
    err_occurred = c"PyErr_Occurred": fn() -> Any;
    err_exception_matches = c"PyErr_ExceptionMatches": fn(Any) -> c_int;
    err_clear = c"PyErr_Clear": fn();
    err_fetch = c"PyErr_Fetch": fn(*mut Any, *mut Any, *mut Any);
    err_restore = c"PyErr_Restore": fn(Any, Any, Any);
    sys_get_object = c"PySys_GetObject": fn(Text) -> Any;
    import_module = c"PyImport_ImportModule": fn(Text) -> Any;
    get_module_dict = c"PyImport_GetModuleDict": fn() -> Any;
    get_attr_string = c"PyObject_GetAttrString": fn(Any, Text) -> Any;
    get_attr = c"PyObject_GetAttr": fn(Any, Any) -> Any;
    object_repr = c"PyObject_Repr": fn(Any) -> Any;
    sys_set_object = c"PySys_SetObject": fn(Text, Any) -> c_int;
    set_attr_string = c"PyObject_SetAttrString": fn(Any, Text, Any) -> c_int;
    generic_get_dict = c"PyObject_GenericGetDict": fn(Any, *mut c_void) -> Any;
    object_call = c"PyObject_Call": fn(Any, Any, Any) -> Any;
    mapping_get_item_string = c"PyMapping_GetItemString": fn(Any, Text) -> Any;
    mapping_set_item_string = c"PyMapping_SetItemString": fn(Any, Text, Any) -> c_int;
    dict_new = c"PyDict_New": fn() -> Any;
    dict_get_item_string = c"PyDict_GetItemString": fn(Any, Text) -> Any;
    dict_get_item = c"PyDict_GetItem": fn(Any, Any) -> Any;
    dict_values = c"PyDict_Values": fn(Any) -> Any;
    dict_del_item_string = c"PyDict_DelItemString": fn(Any, Text) -> c_int;
    list_new = c"PyList_New": fn(isize) -> Any;
    list_insert = c"PyList_Insert": fn(Any, isize, Any) -> c_int;
    sequence_size = c"PySequence_Size": fn(Any) -> isize;
    sequence_get_item = c"PySequence_GetItem": fn(Any, isize) -> Any;
    tuple_new = c"PyTuple_New": fn(isize) -> Any;
    tuple_size = c"PyTuple_Size": fn(Any) -> isize;
    tuple_get_item = c"PyTuple_GetItem": fn(Any, isize) -> Any;
    tuple_set_item = c"PyTuple_SetItem": fn(Any, isize, Any) -> c_int;
    long_from_long_long = c"PyLong_FromLongLong": fn(i64) -> Any;
    long_as_long = c"PyLong_AsLong": fn(Any) -> c_long;
    unicode_from_string = c"PyUnicode_FromString": fn(Text) -> Any;
    unicode_as_utf8 = c"PyUnicode_AsUTF8": fn(Any) -> Text;
    unicode_as_encoded_string = c"PyUnicode_AsEncodedString": fn(Any, Text, Text) -> Any;
    bytes_as_string_and_size = c"PyBytes_AsStringAndSize": fn(Any, *mut *mut c_char, *mut isize) -> c_int;
    cfunction_new_ex = c"PyCFunction_NewEx": fn(*const PyMethodDef, Any, Any) -> Any;
    compile_string = c"Py_CompileString": fn(Text, Text, c_int) -> Any;
    eval_code = c"PyEval_EvalCode": fn(Any, Any, Any) -> Any;
    get_builtins = c"PyEval_GetBuiltins": fn() -> Any;
    thread_state_get = c"PyThreadState_Get": fn() -> *mut c_void;
    code_addr2line = c"PyCode_Addr2Line": fn(Any, c_int) -> c_int;
    thread_state_get_unchecked = c"PyThreadState_GetUnchecked" | c"_PyThreadState_UncheckedGet":
        fn() -> *mut c_void;
    frame_get_line_number = c"PyFrame_GetLineNumber": fn(Any) -> c_int;
    callable_check = c"PyCallable_Check": fn(Any) -> c_int;
    eval_get_frame = c"PyEval_GetFrame": fn() -> Any;
    request_code_extra_index = c"PyUnstable_Eval_RequestCodeExtraIndex" | c"_PyEval_RequestCodeExtraIndex":
        fn(*mut c_void) -> isize;
    type_from_spec = c"PyType_FromSpec": fn(*const PyTypeSpec) -> Any;
    type_generic_alloc = c"PyType_GenericAlloc": fn(Any, isize) -> Any;
    code_get_extra = c"PyUnstable_Code_GetExtra" | c"_PyCode_GetExtra": fn(Any, isize, *mut *mut c_void) -> c_int;
    code_set_extra = c"PyUnstable_Code_SetExtra" | c"_PyCode_SetExtra": fn(Any, isize, *mut c_void) -> c_int;
}

/// The version of the CPython in this process; (0, 0) if there is none.
pub fn version() -> (u32, u32) {
    let function = os::symbol(c"Py_GetVersion");
    if function.is_null() {
        return (0, 0);
    }
    // SAFETY: CPython's headers declare the function with this type, and it returns a static
    // string.
    let text = unsafe {
        let function = core::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *const c_char>(function);
        CStr::from_ptr(function())
    };
    let mut numbers = text.to_bytes().split(|byte| !byte.is_ascii_digit()).map(|digits| {
        digits.iter().fold(0, |number: u32, digit| number.wrapping_mul(10) + u32::from(digit - b'0'))
    });
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// A strong reference, released on drop.
pub struct Owned<'py> {
    object: NonNull<PyObject>,
    python: &'py PythonApi,
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        // SAFETY: this value owns the reference.
        unsafe { (self.python.dec_ref)(self.object.as_ptr()) }
    }
}

impl Owned<'_> {
    pub fn as_ptr(&self) -> *mut PyObject {
        self.object.as_ptr()
    }

    /// Returns the pointer and passes the reference to the caller.
    pub fn into_ptr(self) -> *mut PyObject {
        let object = self.object.as_ptr();
        core::mem::forget(self);
        object
    }
}

/// A Python exception was raised, and has been cleared.
#[derive(Debug)]
pub struct Raised;

/// All of these need the GIL, and no exception pending.
impl PythonApi {
    /// Takes over a new reference, the result of a C function.
    ///
    /// # Errors
    /// If the pointer is null; the pending exception is cleared.
    pub fn owned(&self, object: *mut PyObject) -> Result<Owned<'_>, Raised> {
        match NonNull::new(object) {
            Some(object) => Ok(Owned { object, python: self }),
            None => Err(self.raised()),
        }
    }

    /// Makes a strong reference of a borrowed one, the result of a C function.
    ///
    /// # Errors
    /// If the pointer is null; the pending exception is cleared.
    pub fn borrowed(&self, object: *mut PyObject) -> Result<Owned<'_>, Raised> {
        if !object.is_null() {
            // SAFETY: a borrowed reference keeps the object alive up to here.
            unsafe { (self.inc_ref)(object) };
        }
        self.owned(object)
    }

    /// Checks the result of a C function that returns 0, or -1 with an exception.
    pub fn check_status(&self, result: c_int) -> Result<(), Raised> {
        if result == 0 { Ok(()) } else { Err(self.raised()) }
    }

    fn raised(&self) -> Raised {
        self.clear_error();
        Raised
    }

    /// Clears the pending exception.
    pub fn clear_error(&self) {
        // SAFETY: the call has no arguments.
        unsafe { (self.err_clear)() };
    }

    /// Saves the pending exception, runs `body`, and restores it.
    pub fn with_error_saved<R>(&self, body: impl FnOnce() -> R) -> R {
        let mut error = [ptr::null_mut(); 3];
        let [kind, value, traceback] = &mut error;
        // SAFETY: the three pointers are valid for writes.
        unsafe { (self.err_fetch)(kind, value, traceback) };
        let result = body();
        let [kind, value, traceback] = error;
        // SAFETY: these are the three references that `err_fetch` returned.
        unsafe { (self.err_restore)(kind, value, traceback) };
        result
    }

    /// `object.name`.
    pub fn attribute(&self, object: *mut PyObject, name: &CStr) -> Result<Owned<'_>, Raised> {
        // SAFETY: the caller holds a reference to the object.
        self.owned(unsafe { (self.get_attr_string)(object, name.as_ptr()) })
    }

    /// `sys.name`.
    pub fn sys_attribute(&self, name: &CStr) -> Result<Owned<'_>, Raised> {
        // SAFETY: the name ends in a zero byte.
        self.borrowed(unsafe { (self.sys_get_object)(name.as_ptr()) })
    }

    /// Returns a new `str`. The text must be UTF-8.
    pub fn new_str(&self, text: &CStr) -> Result<Owned<'_>, Raised> {
        // SAFETY: the text ends in a zero byte.
        self.owned(unsafe { (self.unicode_from_string)(text.as_ptr()) })
    }

    /// Returns a new `int`.
    pub fn new_int(&self, number: i64) -> Result<Owned<'_>, Raised> {
        // SAFETY: the function accepts any number.
        self.owned(unsafe { (self.long_from_long_long)(number) })
    }

    /// `function(*arguments)`.
    pub fn call(&self, function: *mut PyObject, arguments: &[*mut PyObject]) -> Result<Owned<'_>, Raised> {
        // SAFETY: the caller holds references to the objects; the tuple takes over one more to
        // each.
        unsafe {
            let tuple = self.owned((self.tuple_new)(arguments.len() as isize))?;
            for (at, argument) in arguments.iter().enumerate() {
                (self.inc_ref)(*argument);
                self.check_status((self.tuple_set_item)(tuple.as_ptr(), at as isize, *argument))?;
            }
            self.owned((self.object_call)(function, tuple.as_ptr(), ptr::null_mut()))
        }
    }

    /// `object.name(*arguments)`.
    pub fn call_method(
        &self,
        object: &Owned<'_>,
        name: &CStr,
        arguments: &[*mut PyObject],
    ) -> Result<Owned<'_>, Raised> {
        self.call(self.attribute(object.as_ptr(), name)?.as_ptr(), arguments)
    }

    /// The code object of a frame; `None` before 3.9, which has no function for it.
    ///
    /// # Safety
    /// Needs the GIL, and a frame object.
    pub unsafe fn frame_code(&self, frame: *mut PyObject) -> Option<Owned<'_>> {
        type FrameGetCode = unsafe extern "C-unwind" fn(Any) -> Any;
        if self.frame_get_code.is_null() {
            return None;
        }
        // SAFETY: CPython's headers declare the function with this type; the caller guarantees the
        // rest.
        self.owned(unsafe { core::mem::transmute::<*mut c_void, FrameGetCode>(self.frame_get_code)(frame) })
            .ok()
    }

    /// Sets the current thread's profile function, or removes it.
    pub fn set_profile(&self, function: Option<TraceFunction>) -> Result<(), Raised> {
        self.set_trace_function(c"_PyEval_SetProfile", c"PyEval_SetProfile", function)
    }

    /// Sets the current thread's trace function, or removes it.
    pub fn set_trace(&self, function: Option<TraceFunction>) -> Result<(), Raised> {
        self.set_trace_function(c"_PyEval_SetTrace", c"PyEval_SetTrace", function)
    }

    /// From 3.9 on the public functions print errors; the private functions behind them raise.
    fn set_trace_function(
        &self,
        private: &CStr,
        public: &CStr,
        function: Option<TraceFunction>,
    ) -> Result<(), Raised> {
        type Private = unsafe extern "C-unwind" fn(*mut c_void, Option<TraceFunction>, Any) -> c_int;
        type Public = unsafe extern "C-unwind" fn(Option<TraceFunction>, Any);
        let (private, public) = (os::symbol(private), os::symbol(public));
        // SAFETY: CPython's headers declare the functions with these types; the object argument may
        // be null.
        unsafe {
            if !private.is_null() {
                let private = core::mem::transmute::<*mut c_void, Private>(private);
                return self.check_status(private((self.thread_state_get)(), function, ptr::null_mut()));
            }
            if public.is_null() {
                return Err(Raised);
            }
            core::mem::transmute::<*mut c_void, Public>(public)(function, ptr::null_mut());
            if (self.err_occurred)().is_null() { Ok(()) } else { Err(self.raised()) }
        }
    }

    /// The value of an `int`.
    ///
    /// # Errors
    /// If the object is not an `int`, or the value does not fit.
    pub fn int_value(&self, object: *mut PyObject) -> Result<i64, Raised> {
        // SAFETY: the caller holds a reference; an object of another type raises.
        let number = unsafe { (self.long_as_long)(object) };
        // SAFETY: the call has no arguments.
        if number == -1 && !unsafe { (self.err_occurred)() }.is_null() {
            return Err(self.raised());
        }
        Ok(number)
    }

    /// The text of a `str`. Surrogates that UTF-8 cannot encode become escapes such as `\udc80`.
    /// The object is not changed: CPython caches no UTF-8 in it.
    pub fn str_value(&self, object: *mut PyObject) -> Result<String, Raised> {
        // SAFETY: the caller holds a reference; an object of another type raises.
        let bytes = self.owned(unsafe {
            (self.unicode_as_encoded_string)(object, c"utf-8".as_ptr(), c"backslashreplace".as_ptr())
        })?;
        Ok(String::from_utf8_lossy(&self.bytes_value(bytes.as_ptr())?).into_owned())
    }

    /// The contents of a `bytes`.
    pub fn bytes_value(&self, object: *mut PyObject) -> Result<Vec<u8>, Raised> {
        let (mut start, mut len) = (ptr::null_mut(), 0);
        // SAFETY: the caller holds a reference, which keeps the bytes alive; an object of another
        // type raises.
        unsafe {
            self.check_status((self.bytes_as_string_and_size)(object, &mut start, &mut len))?;
            Ok(core::slice::from_raw_parts(start.cast::<u8>(), len as usize).to_vec())
        }
    }

    /// The texts of a sequence of `str`. Items of other types are left out.
    pub fn str_values(&self, sequence: *mut PyObject) -> Result<Vec<String>, Raised> {
        // SAFETY: the caller holds a reference; an object that is not a sequence raises.
        let len = unsafe { (self.sequence_size)(sequence) };
        if len < 0 {
            return Err(self.raised());
        }
        let items = (0..len).filter_map(|at| {
            // SAFETY: the caller holds a reference; an index out of range raises.
            let item = self.owned(unsafe { (self.sequence_get_item)(sequence, at) }).ok()?;
            self.str_value(item.as_ptr()).ok()
        });
        Ok(items.collect())
    }
}
