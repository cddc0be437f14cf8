//! Wall 1: a panic of the application's code ends here.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The application's code panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// Runs the application's code; a panic of it, and one of dropping what it panicked with, comes
/// back as [`Panicked`]. What the code was working on must not be used any more.
///
/// # Errors
///
/// [`Panicked`], where the code did.
pub fn wall<T>(code: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            // A payload whose drop panics: dropping its panic's payload could go on for ever.
            std::mem::forget(second);
        }
        Panicked
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_comes_back_as_an_error() {
        assert_eq!(wall(|| 7), Ok(7));
        assert_eq!(wall(|| std::panic::resume_unwind(Box::new("tear"))), Err::<(), _>(Panicked));
    }

    #[test]
    fn a_payload_that_panics_when_it_is_dropped_is_held_too() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new("second tear"));
            }
        }
        assert_eq!(wall(|| std::panic::resume_unwind(Box::new(Bomb))), Err::<(), _>(Panicked));
    }
}
