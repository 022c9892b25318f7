//! The thread that reads.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::failure::Failure;
use crate::store::StoreError;

/// Questions that wait. Whoever comes later waits for a place.
const QUEUE: usize = 256;

type Question = Box<dyn FnOnce(&Connection) + Send>;

/// The way to the thread that reads. Dropping it waits until what was asked is answered.
#[derive(Debug)]
pub(super) struct Reader {
    path: Arc<Path>,
    queue: Option<mpsc::Sender<Question>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    pub(super) fn start(db: Connection, path: &Arc<Path>) -> io::Result<Self> {
        let (queue, mut questions) = mpsc::channel::<Question>(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store-reader".to_owned())
            .spawn(move || {
                while let Some(question) = questions.blocking_recv() {
                    question(&db);
                }
            })?;
        Ok(Self {
            path: Arc::clone(path),
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Answers with what `query` finds; everything that was committed before is seen.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        let path = Arc::clone(&self.path);
        let question: Question = Box::new(move |db| {
            // Whoever no longer waits does not need the answer.
            let _ = done.send(query(db).map_err(|failure| failure.at(&path)));
        });
        let stopped = || StoreError::Unavailable {
            path: self.path.to_path_buf(),
            detail: "its reader has stopped".to_owned(),
        };
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(question).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It ends once the queue is empty; a panic of it was seen by whoever waited for it.
            let _ = thread.join();
        }
    }
}
