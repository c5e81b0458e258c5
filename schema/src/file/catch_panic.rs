//! Panics of Parquet's reader, as errors.
//!
//! What can be checked of a page is checked before it is decoded ([`super::page_header`]). Its values cannot: they are what is
//! decoded. There Parquet's reader may panic where it should say no.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether this thread is at something that may panic.
    static IS_TRYING: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs what may panic. None if it did, and nothing is printed: that a file is damaged is told as an error.
pub(crate) fn catch_panic<T>(run: impl FnOnce() -> T) -> Option<T> {
    HOOK.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_TRYING.get() {
                hook(panic);
            }
        }));
    });
    let was_trying = IS_TRYING.replace(true);
    // What a panic leaves behind is not used again: every caller gives up.
    let outcome = panic::catch_unwind(AssertUnwindSafe(run));
    IS_TRYING.set(was_trying);
    outcome.ok()
}
