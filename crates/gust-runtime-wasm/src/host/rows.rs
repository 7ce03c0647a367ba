//! A backend's stream as a component's `stream<T>` with its `future<result>`: the items, then whether they were all.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::{StreamExt as _, stream::BoxStream};
use tokio::sync::oneshot;
use wasmtime::{
    StoreContextMut,
    component::{
        Accessor, Destination, FutureReader, HasData, Lift, Lower, StreamProducer, StreamReader,
        StreamResult, VecBuffer,
    },
};

use crate::guest::Guest;

/// Items handed over at once when the guest names no number.
const SOME: usize = 64;
/// Items handed over at once at most.
const MOST: usize = 1024;

/// The two ends that the guest reads.
pub(crate) type Ends<T, E> = (StreamReader<T>, FutureReader<Result<(), E>>);

/// Gives the guest a stream of `items` and a future of how it ended. A guest that stops reading ends the listing.
pub(crate) fn ends<T, E, D>(
    store: &Accessor<Guest, D>,
    items: BoxStream<'static, Result<T, E>>,
) -> wasmtime::Result<Ends<T, E>>
where
    T: Lower + Lift + Send + Sync + Unpin + 'static,
    E: Lower + Lift + Send + Sync + Unpin + 'static,
    D: HasData + ?Sized,
{
    let (told, end) = oneshot::channel();
    let producer = Producer {
        items,
        told: Some(told),
    };
    // Without a word from the producer, the guest has stopped reading: what it read was right.
    let end = async move { Ok::<_, wasmtime::Error>(end.await.unwrap_or(Ok(()))) };
    store.with(|mut store| {
        Ok((
            StreamReader::new(&mut store, producer)?,
            FutureReader::new(&mut store, end)?,
        ))
    })
}

struct Producer<T, E> {
    items: BoxStream<'static, Result<T, E>>,
    told: Option<oneshot::Sender<Result<(), E>>>,
}

impl<T, E> Producer<T, E> {
    fn end(&mut self, how: Result<(), E>) {
        if let Some(told) = self.told.take() {
            // The guest may not care how it ended.
            let _ = told.send(how);
        }
    }
}

impl<T, E, D> StreamProducer<D> for Producer<T, E>
where
    T: Send + Sync + Unpin + 'static,
    E: Send + Unpin + 'static,
{
    type Item = T;
    type Buffer = VecBuffer<T>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, T, VecBuffer<T>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let wanted = destination.remaining(&mut store).unwrap_or(SOME).min(MOST);
        if wanted == 0 {
            // "Is there something?" is answered by the next read: looking would take an item out.
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut items = Vec::new();
        let result = loop {
            if items.len() == wanted {
                break StreamResult::Completed;
            }
            match self.items.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(item))) => items.push(item),
                Poll::Ready(Some(Err(e))) => {
                    self.end(Err(e));
                    break StreamResult::Dropped;
                }
                Poll::Ready(None) => {
                    self.end(Ok(()));
                    break StreamResult::Dropped;
                }
                Poll::Pending if !items.is_empty() => break StreamResult::Completed,
                Poll::Pending if finish => break StreamResult::Cancelled,
                Poll::Pending => return Poll::Pending,
            }
        };
        destination.set_buffer(items.into());
        Poll::Ready(Ok(result))
    }
}
