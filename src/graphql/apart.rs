//! Subscriptions that go on by themselves.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_graphql::Response;
use futures_util::stream::{BoxStream, Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A stream in a task of its own. Whoever has the answers may leave them there for long: only what is finished waits. A
/// resolver that stood still in the middle would hold what it has, a transaction above all. A panic in there is passed
/// on; dropped, it ends.
pub(super) fn apart(mut answers: BoxStream<'static, Response>) -> BoxStream<'static, Response> {
    let (sender, finished) = mpsc::channel(1);
    let task = tokio::spawn(async move {
        while let Some(answer) = answers.next().await {
            if sender.send(Box::new(answer)).await.is_err() {
                return;
            }
        }
    });
    Apart {
        task: Some(task),
        finished,
    }
    .boxed()
}

struct Apart {
    /// None when it has ended.
    task: Option<JoinHandle<()>>,
    /// Boxed, because a channel keeps room for many of what it carries.
    finished: mpsc::Receiver<Box<Response>>,
}

impl Stream for Apart {
    type Item = Response;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Response>> {
        if let Some(answer) = ready!(self.finished.poll_recv(context)) {
            return Poll::Ready(Some(*answer));
        }
        if let Some(task) = &mut self.task {
            // It has nothing more to say.
            let ended = ready!(Pin::new(task).poll(context));
            self.task = None;
            if let Err(failed) = ended
                && failed.is_panic()
            {
                std::panic::resume_unwind(failed.into_panic());
            }
        }
        Poll::Ready(None)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
