//! The signals of a server that runs by itself.

use ripstop_survive::holding_signals;
use std::io;
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// TERM or INT: drain and end; at once if it comes a second time.
    Stop,
    /// HUP: take the configuration anew.
    Reload,
}

/// TERM, INT and perhaps HUP.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// `None` where HUP is left as it is.
    hangup: Option<Signal>,
}

impl Signals {
    /// Takes the signals over from the operating system's default; `runtime` has to be the one
    /// that waits for them.
    pub(crate) fn listen(runtime: &Runtime, hangup: bool) -> io::Result<Self> {
        let _inside = runtime.enter();
        holding_signals(|| {
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hangup: hangup.then(|| signal(SignalKind::hangup())).transpose()?,
            })
        })
    }

    /// Waits for the next signal. Cancel safe.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            () = received(self.hangup.as_mut()) => Asked::Reload,
        }
    }
}

/// Waits for a signal that may not be listened for.
async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
