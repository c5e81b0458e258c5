//! What an event costs the program, measured in its own process before it starts.

use alloc::vec::Vec;
use core::ffi::CStr;
use core::sync::atomic::Ordering;

use pyrec_wire::{Definition, Record, RingHeader};

use crate::agent::Agent;
use crate::functions::Functions;
use crate::python::{Owned, Python, Raised};
use crate::ring::Ring;
use crate::{clock, definitions, thread};

const ROUNDS: u32 = 8;

/// So many processes of a recording measure; the others start the sooner, and cost the same.
const ENOUGH: u32 = 5;

/// Calls a function that does nothing, again and again.
const SOURCE: &CStr = c"\
def call(): pass
def calls():
    for _ in range(500): call()
";

/// Measures, and tells the recorder. Nothing is recorded by it.
pub fn measure(agent: &'static Agent, functions: &Functions) -> Result<(), Raised> {
    if agent.session().measurements.fetch_add(1, Ordering::Relaxed) >= ENOUGH {
        return Ok(());
    }
    let program = Program::new(&agent.python)?;
    for code in [&program.call, &program.calls] {
        agent.set_code_id(agent.python.attribute(code.as_ptr(), c"__code__")?.as_ptr(), 0)?;
    }
    let plain_ns = program.fastest_ns()?;
    let mut slots: Vec<Record> = alloc::vec![Record { ticks: 0, word: 0 }; 1024];
    // SAFETY: zeros are a header.
    let header: RingHeader = unsafe { core::mem::MaybeUninit::zeroed().assume_init() };
    // SAFETY: slots and header live longer than the ring.
    let ring = unsafe { Ring::scratch(&mut slots, &header) };
    let code = agent.python.attribute(program.call.as_ptr(), c"__code__")?;
    let traced_ns = thread::with_ring(ring, || functions.during(code.as_ptr(), || program.fastest_ns()))??;
    let events = header.produced.head.load(Ordering::Relaxed) / u64::from(ROUNDS);
    if events > 0 {
        let event_ns = traced_ns.saturating_sub(plain_ns) as f64 / events as f64;
        definitions::tell(agent, &Definition::Cost { event_ns });
    }
    Ok(())
}

/// A Python program in which nothing happens.
pub struct Program<'py> {
    python: &'py Python,
    call: Owned<'py>,
    calls: Owned<'py>,
}

impl<'py> Program<'py> {
    pub fn new(python: &'py Python) -> Result<Program<'py>, Raised> {
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
            Ok(Program { python, call, calls })
        }
    }

    /// Calls, again and again.
    pub fn run(&self) -> Result<(), Raised> {
        self.python.call(self.calls.as_ptr(), &[]).map(drop)
    }

    /// The time of the fastest of some rounds: what disturbs the others is not ours.
    fn fastest_ns(&self) -> Result<u64, Raised> {
        let mut fastest_ns = u64::MAX;
        for _ in 0..ROUNDS {
            let start_ns = clock::monotonic_ns();
            self.run()?;
            fastest_ns = fastest_ns.min(clock::monotonic_ns() - start_ns);
        }
        Ok(fastest_ns)
    }
}
