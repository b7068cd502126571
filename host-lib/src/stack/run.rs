//! The loop of a stack's thread.

use std::thread::JoinHandle;

use super::{Handle, Stack, StackError};
use crate::time::Nanoseconds;

/// A stack at work on a thread of its own.
pub struct StackThread {
    handle: Handle,
    thread: Option<JoinHandle<Result<(), StackError>>>,
}

impl Stack {
    /// Works until [`Handle::stop`] is called.
    ///
    /// # Errors
    /// The device does not work any more.
    pub fn run(mut self) -> Result<(), StackError> {
        while !self.stopping {
            let until = self.poll()?;
            if until > self.nic.now() {
                self.wait(until)?;
            }
        }
        Ok(())
    }

    /// Waits until the device or an application has something, or until then; how, the driver's configuration says. For whoever calls
    /// [`Stack::poll`] himself.
    ///
    /// # Errors
    /// The device does not work any more: every socket has been told why.
    pub fn wait(&mut self, until: Nanoseconds) -> Result<(), StackError> {
        // A request that comes after the look at the queue sees `asleep`, and wakes.
        self.handle.set_asleep(true);
        let result = if self.has_requests() { Ok(()) } else { self.nic.wait(until) };
        self.handle.set_asleep(false);
        result.inspect_err(|error| self.fail(&error.to_string())).map_err(StackError::from)
    }

    /// Works on a thread of its own.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn spawn(self) -> Result<StackThread, StackError> {
        let handle = self.handle();
        let thread = std::thread::Builder::new().name("toe-stack".to_owned()).spawn(move || {
            let result = self.run();
            if let Err(error) = &result {
                tracing::error!(%error, "the stack has stopped");
            }
            result
        });
        Ok(StackThread { handle, thread: Some(thread.map_err(StackError::Thread)?) })
    }
}

/// The last words: whoever waits for a socket is told.
impl Drop for Stack {
    fn drop(&mut self) {
        self.fail_everything();
    }
}

impl StackThread {
    /// What applications open sockets with.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends the stack and waits for its thread.
    ///
    /// # Errors
    /// Why the stack has stopped, if it had before.
    pub fn stop(mut self) -> Result<(), StackError> {
        self.join()
    }

    fn join(&mut self) -> Result<(), StackError> {
        self.handle.stop();
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for StackThread {
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::warn!(%error, "the stack had stopped");
        }
    }
}
