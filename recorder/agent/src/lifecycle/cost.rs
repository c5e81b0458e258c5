//! The cost of an event, measured in the recorded process before its program starts.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use pyrec_wire::{Definition, Record, RingHeader};

use crate::context::Context;
use crate::hooks::FunctionHooks;
use crate::os::clock;
use crate::python::{CallLoop, Raised};
use crate::record;
use crate::ring::{Ring, definitions, thread};

const ROUNDS: u32 = 8;

/// The first processes of a recording measure. The others have the same cost and start sooner.
const MEASURING_PROCESSES: u32 = 5;

/// Measures the cost of an event and appends it to the definitions. Records nothing.
pub fn measure(context: &'static Context, hooks: &FunctionHooks) -> Result<(), Raised> {
    let session = context.session();
    if session.header().measurements.fetch_add(1, Ordering::Relaxed) >= MEASURING_PROCESSES {
        return Ok(());
    }
    let calls = CallLoop::new(&context.python)?;
    for function in [&calls.call, &calls.calls] {
        let code = context.python.attribute(function.as_ptr(), c"__code__")?;
        record::set_code_id(context, code.as_ptr(), 0)?;
    }
    let plain_ns = fastest_ns(&calls)?;
    let mut slots: Vec<Record> = alloc::vec![Record { ticks: 0, word: 0 }; 1024];
    // SAFETY: a header consists of integers, so zeros are a valid value.
    let header: RingHeader = unsafe { core::mem::MaybeUninit::zeroed().assume_init() };
    // SAFETY: 1024 is a power of two; slots and header outlive the ring.
    let ring = unsafe { Ring::scratch(&mut slots, &header) };
    let code = context.python.attribute(calls.call.as_ptr(), c"__code__")?;
    let traced_ns =
        thread::with_scratch_ring(ring, || hooks.with_enabled(code.as_ptr(), || fastest_ns(&calls)))??;
    let events = header.produced.head.load(Ordering::Relaxed) / u64::from(ROUNDS);
    if events > 0 {
        let event_ns = traced_ns.saturating_sub(plain_ns) as f64 / events as f64;
        definitions::append(session, &Definition::Cost { event_ns });
    }
    Ok(())
}

/// The duration of the fastest round; other activity on the machine slows the rest.
fn fastest_ns(calls: &CallLoop<'_>) -> Result<u64, Raised> {
    let mut fastest_ns = u64::MAX;
    for _ in 0..ROUNDS {
        let start_ns = clock::monotonic_ns();
        calls.run()?;
        fastest_ns = fastest_ns.min(clock::monotonic_ns() - start_ns);
    }
    Ok(fastest_ns)
}
