//! CPython's C API, found in the process at run time: one library serves all versions, static and shared.

use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::ptr::{self, NonNull};

use crate::os;

/// `PyObject`.
#[repr(C)]
pub struct Object([u8; 0]);

/// `PyMethodDef`.
#[repr(C)]
pub struct Method {
    pub name: *const c_char,
    pub function: *const c_void,
    pub flags: c_int,
    pub doc: *const c_char,
}

// SAFETY: nobody writes to it.
unsafe impl Sync for Method {}

/// `METH_VARARGS | METH_KEYWORDS`.
pub const ANY_ARGUMENTS: c_int = 1 | 2;

/// Called as `METH_VARARGS | METH_KEYWORDS` says. It may be unwound: a daemon thread that runs Python code when the
/// interpreter ends is ended so.
pub type AnyFunction = unsafe extern "C-unwind" fn(*mut Object, *mut Object, *mut Object) -> *mut Object;

/// `Py_tracefunc`: object, frame, what, value.
pub type Hook = unsafe extern "C" fn(*mut Object, *mut Object, c_int, *mut Object) -> c_int;

/// `PyType_Slot`.
#[repr(C)]
pub struct Slot(pub c_int, pub *const c_void);

/// `PyType_Spec`.
#[repr(C)]
pub struct TypeSpec {
    pub name: *const c_char,
    pub size: c_int,
    pub item_size: c_int,
    pub flags: u32,
    pub slots: *const Slot,
}

/// `PyMemberDef`.
#[repr(C)]
pub struct Member {
    pub name: *const c_char,
    pub kind: c_int,
    pub offset: isize,
    pub flags: c_int,
    pub doc: *const c_char,
}

macro_rules! api {
    ($($field:ident = $($symbol:literal)|+: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions used in every version.
        pub struct Python {
            $(pub $field: unsafe extern "C-unwind" fn($($argument),*) $(-> $result)?,)*
            /// Every function takes and gives it.
            pub none: *mut Object,
            /// The type `object`.
            pub object_type: *mut Object,
            /// `PyVectorcall_Call`, as a type's slot takes it; not there before 3.8.
            pub vectorcall_call: *mut c_void,
            /// `PyFrame_GetCode`; not there before 3.9.
            frame_code: *mut c_void,
            /// 3 and 13, of 3.13.
            pub version: (u32, u32),
        }

        impl Python {
            /// Finds the functions, if all are there.
            pub fn find() -> Option<Python> {
                Some(Python {
                    $($field: {
                        let found = find(&[$($symbol),+])?;
                        // SAFETY: the type is the one that CPython's headers give the function.
                        unsafe {
                            core::mem::transmute::<
                                *mut c_void,
                                unsafe extern "C-unwind" fn($($argument),*) $(-> $result)?,
                            >(found)
                        }
                    },)*
                    none: find(&[c"_Py_NoneStruct"])?.cast(),
                    object_type: find(&[c"PyBaseObject_Type"])?.cast(),
                    vectorcall_call: find(&[c"PyVectorcall_Call"])?,
                    frame_code: os::symbol(c"PyFrame_GetCode"),
                    version: version(),
                })
            }
        }
    };
}

/// A function or an object, under the first of its names, newest first, that is there.
fn find(symbols: &[&CStr]) -> Option<*mut c_void> {
    symbols.iter().map(|symbol| os::symbol(symbol)).find(|found| !found.is_null())
}

type Any = *mut Object;
type Text = *const c_char;

api! {
    increase = c"Py_IncRef": fn(Any);
    decrease = c"Py_DecRef": fn(Any);
    add_pending_call = c"Py_AddPendingCall": fn(extern "C" fn(*mut c_void) -> c_int, *mut c_void) -> c_int;
    error_occurred = c"PyErr_Occurred": fn() -> Any;
    error_matches = c"PyErr_ExceptionMatches": fn(Any) -> c_int;
    error_clear = c"PyErr_Clear": fn();
    error_fetch = c"PyErr_Fetch": fn(*mut Any, *mut Any, *mut Any);
    error_restore = c"PyErr_Restore": fn(Any, Any, Any);
    sys_get = c"PySys_GetObject": fn(Text) -> Any;
    import = c"PyImport_ImportModule": fn(Text) -> Any;
    modules = c"PyImport_GetModuleDict": fn() -> Any;
    get_attribute = c"PyObject_GetAttrString": fn(Any, Text) -> Any;
    get_attribute_object = c"PyObject_GetAttr": fn(Any, Any) -> Any;
    repr = c"PyObject_Repr": fn(Any) -> Any;
    sys_set = c"PySys_SetObject": fn(Text, Any) -> c_int;
    set_attribute = c"PyObject_SetAttrString": fn(Any, Text, Any) -> c_int;
    get_dict = c"PyObject_GenericGetDict": fn(Any, *mut c_void) -> Any;
    call = c"PyObject_Call": fn(Any, Any, Any) -> Any;
    map_get = c"PyMapping_GetItemString": fn(Any, Text) -> Any;
    map_set = c"PyMapping_SetItemString": fn(Any, Text, Any) -> c_int;
    dict_new = c"PyDict_New": fn() -> Any;
    dict_get = c"PyDict_GetItemString": fn(Any, Text) -> Any;
    dict_get_object = c"PyDict_GetItem": fn(Any, Any) -> Any;
    dict_values = c"PyDict_Values": fn(Any) -> Any;
    dict_delete = c"PyDict_DelItemString": fn(Any, Text) -> c_int;
    list_new = c"PyList_New": fn(isize) -> Any;
    list_insert = c"PyList_Insert": fn(Any, isize, Any) -> c_int;
    sequence_len = c"PySequence_Size": fn(Any) -> isize;
    sequence_get = c"PySequence_GetItem": fn(Any, isize) -> Any;
    tuple_new = c"PyTuple_New": fn(isize) -> Any;
    tuple_len = c"PyTuple_Size": fn(Any) -> isize;
    tuple_get = c"PyTuple_GetItem": fn(Any, isize) -> Any;
    tuple_set = c"PyTuple_SetItem": fn(Any, isize, Any) -> c_int;
    integer_new = c"PyLong_FromLongLong": fn(i64) -> Any;
    integer = c"PyLong_AsLong": fn(Any) -> c_long;
    text_new = c"PyUnicode_FromString": fn(Text) -> Any;
    text_utf8 = c"PyUnicode_AsUTF8": fn(Any) -> Text;
    text_encode = c"PyUnicode_AsEncodedString": fn(Any, Text, Text) -> Any;
    bytes = c"PyBytes_AsStringAndSize": fn(Any, *mut *mut c_char, *mut isize) -> c_int;
    function_new = c"PyCFunction_NewEx": fn(*const Method, Any, Any) -> Any;
    compile = c"Py_CompileString": fn(Text, Text, c_int) -> Any;
    evaluate = c"PyEval_EvalCode": fn(Any, Any, Any) -> Any;
    builtins = c"PyEval_GetBuiltins": fn() -> Any;
    thread_state = c"PyThreadState_Get": fn() -> *mut c_void;
    code_line = c"PyCode_Addr2Line": fn(Any, c_int) -> c_int;
    thread_state_or_null = c"PyThreadState_GetUnchecked" | c"_PyThreadState_UncheckedGet": fn() -> *mut c_void;
    frame_line = c"PyFrame_GetLineNumber": fn(Any) -> c_int;
    is_callable = c"PyCallable_Check": fn(Any) -> c_int;
    current_frame = c"PyEval_GetFrame": fn() -> Any;
    extra_index = c"PyUnstable_Eval_RequestCodeExtraIndex" | c"_PyEval_RequestCodeExtraIndex":
        fn(*mut c_void) -> isize;
    type_new = c"PyType_FromSpec": fn(*const TypeSpec) -> Any;
    object_new = c"PyType_GenericAlloc": fn(Any, isize) -> Any;
    get_extra = c"PyUnstable_Code_GetExtra" | c"_PyCode_GetExtra": fn(Any, isize, *mut *mut c_void) -> c_int;
    set_extra = c"PyUnstable_Code_SetExtra" | c"_PyCode_SetExtra": fn(Any, isize, *mut c_void) -> c_int;
}

/// The version of the CPython in this process; (0, 0) if there is none.
pub fn version() -> (u32, u32) {
    let function = os::symbol(c"Py_GetVersion");
    if function.is_null() {
        return (0, 0);
    }
    // SAFETY: the type is the one in CPython's headers; the text is static.
    let text = unsafe {
        let function = core::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *const c_char>(function);
        CStr::from_ptr(function())
    };
    let mut numbers = text.to_bytes().split(|byte| !byte.is_ascii_digit()).map(|digits| {
        digits.iter().fold(0, |number: u32, digit| number.wrapping_mul(10) + u32::from(digit - b'0'))
    });
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// A reference that is given back when it is dropped.
pub struct Owned<'py> {
    object: NonNull<Object>,
    python: &'py Python,
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        // SAFETY: the reference is ours.
        unsafe { (self.python.decrease)(self.object.as_ptr()) }
    }
}

impl Owned<'_> {
    pub fn as_ptr(&self) -> *mut Object {
        self.object.as_ptr()
    }

    /// Gives the reference away.
    pub fn into_ptr(self) -> *mut Object {
        let object = self.object.as_ptr();
        core::mem::forget(self);
        object
    }
}

/// A Python exception was raised, and cleared.
#[derive(Debug)]
pub struct Raised;

/// All of these need the GIL, and no exception pending.
impl Python {
    /// What a function gave that gives a new reference.
    pub fn owned(&self, object: *mut Object) -> Result<Owned<'_>, Raised> {
        match NonNull::new(object) {
            Some(object) => Ok(Owned { object, python: self }),
            None => Err(self.raised()),
        }
    }

    /// What a function gave that lends a reference.
    pub fn lent(&self, object: *mut Object) -> Result<Owned<'_>, Raised> {
        if !object.is_null() {
            // SAFETY: the object lives.
            unsafe { (self.increase)(object) };
        }
        self.owned(object)
    }

    /// What a function gave that gives 0 or -1.
    pub fn done(&self, result: c_int) -> Result<(), Raised> {
        if result == 0 { Ok(()) } else { Err(self.raised()) }
    }

    fn raised(&self) -> Raised {
        self.clear_error();
        Raised
    }

    /// Forgets the exception that is pending.
    pub fn clear_error(&self) {
        // SAFETY: it takes nothing.
        unsafe { (self.error_clear)() };
    }

    /// Runs `body` while the exception that may be pending is put aside.
    pub fn without_error<R>(&self, body: impl FnOnce() -> R) -> R {
        let mut error = [ptr::null_mut(); 3];
        let [kind, value, traceback] = &mut error;
        // SAFETY: the three belong together, and go back as they came.
        unsafe { (self.error_fetch)(kind, value, traceback) };
        let result = body();
        let [kind, value, traceback] = error;
        // SAFETY: as above.
        unsafe { (self.error_restore)(kind, value, traceback) };
        result
    }

    /// `object.name`.
    pub fn attribute(&self, object: *mut Object, name: &CStr) -> Result<Owned<'_>, Raised> {
        // SAFETY: the caller has the object.
        self.owned(unsafe { (self.get_attribute)(object, name.as_ptr()) })
    }

    /// `sys.name`.
    pub fn sys(&self, name: &CStr) -> Result<Owned<'_>, Raised> {
        // SAFETY: the name ends in a zero byte.
        self.lent(unsafe { (self.sys_get)(name.as_ptr()) })
    }

    /// A `str`.
    pub fn new_text(&self, text: &CStr) -> Result<Owned<'_>, Raised> {
        // SAFETY: the text ends in a zero byte and is UTF-8.
        self.owned(unsafe { (self.text_new)(text.as_ptr()) })
    }

    /// An `int`.
    pub fn new_integer(&self, number: i64) -> Result<Owned<'_>, Raised> {
        // SAFETY: it takes a number.
        self.owned(unsafe { (self.integer_new)(number) })
    }

    /// `function(*arguments)`.
    pub fn call(&self, function: *mut Object, arguments: &[*mut Object]) -> Result<Owned<'_>, Raised> {
        // SAFETY: the caller has the objects; the tuple takes over a reference to each.
        unsafe {
            let tuple = self.owned((self.tuple_new)(arguments.len() as isize))?;
            for (at, argument) in arguments.iter().enumerate() {
                (self.increase)(*argument);
                self.done((self.tuple_set)(tuple.as_ptr(), at as isize, *argument))?;
            }
            self.owned((self.call)(function, tuple.as_ptr(), ptr::null_mut()))
        }
    }

    /// `object.name(*arguments)`.
    pub fn method(
        &self,
        object: &Owned<'_>,
        name: &CStr,
        arguments: &[*mut Object],
    ) -> Result<Owned<'_>, Raised> {
        self.call(self.attribute(object.as_ptr(), name)?.as_ptr(), arguments)
    }

    /// The code object of a frame, if this CPython has a function to ask for it.
    ///
    /// # Safety
    /// With the GIL, and a frame.
    pub unsafe fn frame_code(&self, frame: *mut Object) -> Option<Owned<'_>> {
        type FrameCode = unsafe extern "C-unwind" fn(Any) -> Any;
        if self.frame_code.is_null() {
            return None;
        }
        // SAFETY: the type is the one in CPython's headers; the rest is the caller's promise.
        self.owned(unsafe { core::mem::transmute::<*mut c_void, FrameCode>(self.frame_code)(frame) }).ok()
    }

    /// Sets this thread's profile function, or takes it away.
    pub fn set_profile(&self, hook: Option<Hook>) -> Result<(), Raised> {
        self.set_hook(c"_PyEval_SetProfile", c"PyEval_SetProfile", hook)
    }

    /// Sets this thread's trace function, or takes it away.
    pub fn set_trace(&self, hook: Option<Hook>) -> Result<(), Raised> {
        self.set_hook(c"_PyEval_SetTrace", c"PyEval_SetTrace", hook)
    }

    /// The public functions print what goes wrong, from 3.9 on; those behind them raise it.
    fn set_hook(&self, quiet: &CStr, public: &CStr, hook: Option<Hook>) -> Result<(), Raised> {
        type Quiet = unsafe extern "C-unwind" fn(*mut c_void, Option<Hook>, Any) -> c_int;
        type Public = unsafe extern "C-unwind" fn(Option<Hook>, Any);
        let (quiet, public) = (os::symbol(quiet), os::symbol(public));
        // SAFETY: the types are those in CPython's headers, and a hook takes no object.
        unsafe {
            if !quiet.is_null() {
                let quiet = core::mem::transmute::<*mut c_void, Quiet>(quiet);
                return self.done(quiet((self.thread_state)(), hook, ptr::null_mut()));
            }
            if public.is_null() {
                return Err(Raised);
            }
            core::mem::transmute::<*mut c_void, Public>(public)(hook, ptr::null_mut());
            if (self.error_occurred)().is_null() { Ok(()) } else { Err(self.raised()) }
        }
    }

    /// The number that an `int` holds.
    pub fn to_integer(&self, object: *mut Object) -> Result<i64, Raised> {
        // SAFETY: the caller has the object; any object may be asked.
        let number = unsafe { (self.integer)(object) };
        // SAFETY: it takes nothing.
        if number == -1 && !unsafe { (self.error_occurred)() }.is_null() {
            return Err(self.raised());
        }
        Ok(number)
    }

    /// The text that a `str` holds; what UTF-8 cannot hold, as `\udc80`. Leaves no trace in the object.
    pub fn to_text(&self, object: *mut Object) -> Result<String, Raised> {
        // SAFETY: the caller has the object; any object may be asked.
        let bytes = self
            .owned(unsafe { (self.text_encode)(object, c"utf-8".as_ptr(), c"backslashreplace".as_ptr()) })?;
        Ok(String::from_utf8_lossy(&self.to_bytes(bytes.as_ptr())?).into_owned())
    }

    /// The bytes that a `bytes` holds.
    pub fn to_bytes(&self, object: *mut Object) -> Result<Vec<u8>, Raised> {
        let (mut start, mut len) = (ptr::null_mut(), 0);
        // SAFETY: the caller has the object, and any object may be asked; the bytes live as long as it does.
        unsafe {
            self.done((self.bytes)(object, &mut start, &mut len))?;
            Ok(core::slice::from_raw_parts(start.cast::<u8>(), len as usize).to_vec())
        }
    }

    /// The texts in a sequence of `str`; what is none of these is left out.
    pub fn to_texts(&self, sequence: *mut Object) -> Result<Vec<String>, Raised> {
        // SAFETY: the caller has the object; any object may be asked.
        let len = unsafe { (self.sequence_len)(sequence) };
        if len < 0 {
            return Err(self.raised());
        }
        let items = (0..len).filter_map(|at| {
            // SAFETY: as above; an index out of range raises.
            let item = self.owned(unsafe { (self.sequence_get)(sequence, at) }).ok()?;
            self.to_text(item.as_ptr()).ok()
        });
        Ok(items.collect())
    }
}
