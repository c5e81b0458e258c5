//! `_Py_DebugOffsets`: what a CPython since 3.13 says of the layout of its own memory, at the start
//! of `_PyRuntime`.
//!
//! ```text
//! "xdebugpy" │ version │ free threaded? │ numbers of one structure │ numbers of the next │ …
//! ```
//!
//! All are u64. Which number is which depends on the minor version
//! (`Include/internal/pycore_debug_offsets.h`).

/// The magic number.
const COOKIE: &[u8; 8] = b"xdebugpy";

/// Number of u64 fields that are read, the magic number included.
pub const FIELD_COUNT: usize = 94;

/// The offsets on the path to a code object's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in CPython, structure by structure")]
pub struct DebugOffsets {
    pub runtime_interpreters_head: u64,
    pub interpreter_ceval_gil: u64,
    pub gil_last_holder: u64,
    pub thread_current_frame: u64,
    pub frame_executable: u64,
    pub frame_owner: u64,
    pub code_file: u64,
    pub code_name: u64,
    pub code_qualname: u64,
    pub code_first_line: u64,
    pub string_ascii: u64,
    pub string_compact: u64,
}

impl DebugOffsets {
    /// Takes the start of `_PyRuntime` apart. `None` where it has no such numbers, where they are
    /// those of a version that is not in the list, and where threads run without the lock.
    pub fn parse(bytes: &[u8]) -> Option<DebugOffsets> {
        let (cookie, numbers) = bytes.split_first_chunk()?;
        let (numbers, _) = numbers.as_chunks();
        // The cookie is number 0.
        let number = |index: usize| numbers.get(index - 1).map(|&number| u64::from_le_bytes(number));
        let (version, free_threaded) = (number(1)?, number(2)?);
        if cookie != COOKIE || version >> 16 != 0x030f || free_threaded != 0 {
            return None;
        }
        Some(DebugOffsets {
            runtime_interpreters_head: number(5)?,
            interpreter_ceval_gil: number(15)?,
            gil_last_holder: number(19)?.checked_sub(number(16)?)?,
            thread_current_frame: number(26)?,
            frame_executable: number(41)?,
            frame_owner: number(44)?,
            code_file: number(48)?,
            code_name: number(49)?,
            code_qualname: number(50)?,
            code_first_line: number(52)?,
            string_ascii: number(92)?,
            string_compact: number(93)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields in the order of CPython 3.15's header, after the cookie.
    const FIELDS: &str = "
        version free_threaded
        runtime.size runtime.finalizing runtime.interpreters_head
        interpreter.size interpreter.id interpreter.next interpreter.threads_head interpreter.threads_main
        interpreter.gc interpreter.imports_modules interpreter.sysdict interpreter.builtins interpreter.ceval_gil
        interpreter.gil interpreter.gil_enabled interpreter.gil_locked interpreter.gil_holder
        interpreter.code_object_generation interpreter.tlbc_generation
        thread.size thread.prev thread.next thread.interp thread.current_frame thread.base_frame
        thread.last_profiled_frame thread.last_profiled_frame_seq thread.thread_id thread.native_thread_id
        thread.datastack_chunk thread.status thread.holds_gil thread.gil_requested thread.current_exception
        thread.exc_state
        err_stackitem.exc_value
        frame.size frame.previous frame.executable frame.instr_ptr frame.localsplus frame.owner frame.stackpointer
        frame.tlbc_index
        code.size code.filename code.name code.qualname code.linetable code.firstlineno code.argcount
        code.localsplusnames code.localspluskinds code.co_code_adaptive code.co_tlbc
        object.size object.ob_type
        type.size type.tp_name type.tp_repr type.tp_flags type.tp_basicsize type.tp_dictoffset
        heap_type.size heap_type.ht_cached_keys
        tuple.size tuple.ob_item tuple.ob_size
        list.size list.ob_item list.ob_size
        set.size set.used set.table set.mask
        dict.size dict.ma_keys dict.ma_values
        float.size float.ob_fval
        long.size long.lv_tag long.ob_digit
        bytes.size bytes.ob_size bytes.ob_sval
        unicode.size unicode.state unicode.length unicode.ascii_size unicode.compact_size";

    /// The start of a `_PyRuntime` in which each field holds 8 times its place, but for those that
    /// are given.
    fn runtime(given: [(&str, u64); 2]) -> (Vec<u8>, impl Fn(&str) -> u64) {
        let names: Vec<&str> = FIELDS.split_whitespace().collect();
        let place =
            move |name: &str| names.iter().position(|field| *field == name).expect("a field") as u64 * 8;
        let mut numbers: Vec<u64> = (0..FIELDS.split_whitespace().count() as u64).map(|at| at * 8).collect();
        for (name, value) in given {
            numbers[place(name) as usize / 8] = value;
        }
        let bytes = COOKIE.iter().copied().chain(numbers.into_iter().flat_map(u64::to_le_bytes)).collect();
        (bytes, place)
    }

    #[test]
    fn each_number_by_its_name() {
        let (bytes, place) = runtime([("version", 0x030f_02f0), ("free_threaded", 0)]);
        let expected = DebugOffsets {
            runtime_interpreters_head: place("runtime.interpreters_head"),
            interpreter_ceval_gil: place("interpreter.ceval_gil"),
            gil_last_holder: place("interpreter.gil_holder") - place("interpreter.gil"),
            thread_current_frame: place("thread.current_frame"),
            frame_executable: place("frame.executable"),
            frame_owner: place("frame.owner"),
            code_file: place("code.filename"),
            code_name: place("code.name"),
            code_qualname: place("code.qualname"),
            code_first_line: place("code.firstlineno"),
            string_ascii: place("unicode.ascii_size"),
            string_compact: place("unicode.compact_size"),
        };
        assert_eq!(DebugOffsets::parse(&bytes), Some(expected));
        assert_eq!(bytes.len(), (1 + FIELDS.split_whitespace().count()) * 8);
        assert_eq!(bytes.len(), FIELD_COUNT * 8);
        for length in 0..bytes.len() {
            assert_eq!(DebugOffsets::parse(&bytes[..length]), None, "{length}");
        }
    }

    #[test]
    fn numbers_of_another_build_are_not_taken_for_these() {
        for given in [
            [("version", 0x030e_00f0), ("free_threaded", 0)],
            [("version", 0x030f_02f0), ("free_threaded", 1)],
        ] {
            assert_eq!(DebugOffsets::parse(&runtime(given).0), None, "{given:?}");
        }
        assert_eq!(DebugOffsets::parse(&[0; FIELD_COUNT * 8]), None);
    }
}
