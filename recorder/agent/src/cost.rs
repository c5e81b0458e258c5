//! What an event costs the program, measured in its own process before it starts.

use alloc::vec::Vec;
use core::ffi::CStr;

use pyrec_wire::{Definition, Record, RingHeader};

use crate::agent::Agent;
use crate::monitoring::Monitoring;
use crate::python::{Owned, Python, Raised};
use crate::ring::Ring;
use crate::{clock, definitions, thread};

const ROUNDS: u32 = 8;

/// Calls a function that does nothing, again and again.
const SOURCE: &CStr = c"\
def call(): pass
def calls():
    for _ in range(500): call()
";

/// Measures, and tells the recorder. Nothing is recorded by it.
pub fn measure(agent: &'static Agent, monitoring: &Monitoring<'_>) -> Result<(), Raised> {
    let python = &agent.python;
    let program = Program::new(python)?;
    agent.set_code_id(program.code.as_ptr(), 0)?;
    let plain_ns = program.fastest_ns()?;
    let mut slots: Vec<Record> = alloc::vec![Record { ticks: 0, word: 0 }; 1024];
    // SAFETY: zeros are a header.
    let header: RingHeader = unsafe { core::mem::MaybeUninit::zeroed().assume_init() };
    monitoring.switch_local(program.code.as_ptr(), true)?;
    // SAFETY: slots and header live longer than the ring.
    let traced_ns = thread::with_ring(unsafe { Ring::scratch(&mut slots, &header) }, || program.fastest_ns());
    monitoring.switch_local(program.code.as_ptr(), false)?;
    let events = header.produced.head.load(core::sync::atomic::Ordering::Relaxed) / u64::from(ROUNDS);
    if events > 0 {
        let event_ns = traced_ns?.saturating_sub(plain_ns) as f64 / events as f64;
        definitions::tell(agent, &Definition::Cost { event_ns });
    }
    Ok(())
}

struct Program<'py> {
    python: &'py Python,
    code: Owned<'py>,
    calls: Owned<'py>,
}

impl<'py> Program<'py> {
    fn new(python: &'py Python) -> Result<Program<'py>, Raised> {
        const FILE_INPUT: i32 = 257;
        // SAFETY: every pointer is checked.
        unsafe {
            let source = python.owned((python.compile)(SOURCE.as_ptr(), c"<pyrec>".as_ptr(), FILE_INPUT))?;
            let globals = python.owned((python.dict_new)())?;
            let builtins = (python.builtins)();
            python.done((python.map_set)(globals.as_ptr(), c"__builtins__".as_ptr(), builtins))?;
            python.owned((python.evaluate)(source.as_ptr(), globals.as_ptr(), globals.as_ptr()))?;
            let call = python.owned((python.map_get)(globals.as_ptr(), c"call".as_ptr()))?;
            let calls = python.owned((python.map_get)(globals.as_ptr(), c"calls".as_ptr()))?;
            Ok(Program { python, code: python.attribute(call.as_ptr(), c"__code__")?, calls })
        }
    }

    /// The time of the fastest of some rounds: what disturbs the others is not ours.
    fn fastest_ns(&self) -> Result<u64, Raised> {
        let mut fastest_ns = u64::MAX;
        for _ in 0..ROUNDS {
            let start_ns = clock::monotonic_ns();
            self.python.call(self.calls.as_ptr(), &[])?;
            fastest_ns = fastest_ns.min(clock::monotonic_ns() - start_ns);
        }
        Ok(fastest_ns)
    }
}
