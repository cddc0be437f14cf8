//! One at a time: of many requests that need the same file from the disk, one reads it.
//!
//! Owns who reads what just now. What the others do when it is their turn is `answer.rs`'s.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard as StdMutexGuard};

use tokio::sync::{Mutex, MutexGuard};

/// The names that are being looked for. It holds a name for as long as there is a visit for it.
#[derive(Debug, Default)]
pub(crate) struct Gates(StdMutex<HashMap<String, Arc<Mutex<()>>>>);

/// One request's stay, from before it waits until it has what it came for.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    gates: &'a Gates,
    key: &'a str,
    gate: Arc<Mutex<()>>,
}

impl Gates {
    pub(crate) fn visit<'a>(&'a self, key: &'a str) -> Visit<'a> {
        let gate = Arc::clone(self.map().entry(key.to_owned()).or_default());
        Visit { gates: self, key, gate }
    }

    fn map(&self) -> StdMutexGuard<'_, HashMap<String, Arc<Mutex<()>>>> {
        self.0.lock().expect("nothing panics while it holds the gates")
    }
}

impl Visit<'_> {
    /// Waits for those who came before.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().await
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut map = self.gates.map();
        // The map's and this one: nobody else is there, and nobody comes while the map is locked.
        if Arc::strong_count(&self.gate) == 2 {
            map.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_held_as_long_as_it_is_visited() {
        let gates = Gates::default();
        let (first, second) = (gates.visit("/a"), gates.visit("/a"));
        let turn = first.gate.try_lock().unwrap();
        assert!(second.gate.try_lock().is_err());
        assert!(gates.visit("/b").gate.try_lock().is_ok());
        drop(turn);
        drop(first);
        assert!(second.gate.try_lock().is_ok());
        drop(second);
        assert!(gates.map().is_empty());
    }
}
