//! Turns panics of the `parquet` crate into errors.
//!
//! Headers are checked before they reach the crate ([`super::page_header`]). Encoded values cannot
//! be checked without decoding them, and for malformed ones the crate may panic instead of
//! returning an error.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether this thread is inside [`catch_panic`].
    static IS_CATCHING: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Calls `run`, which must not leave shared state inconsistent on a panic. Returns `None` if it
/// panics. The panic message is not printed, since the caller reports an error.
pub(crate) fn catch_panic<T>(run: impl FnOnce() -> T) -> Option<T> {
    HOOK.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_CATCHING.get() {
                hook(panic);
            }
        }));
    });
    let was_catching = IS_CATCHING.replace(true);
    // Unwind safety: after a panic every caller drops what `run` has used.
    let outcome = panic::catch_unwind(AssertUnwindSafe(run));
    IS_CATCHING.set(was_catching);
    outcome.ok()
}
