//! The two tasks of a connection: one reads, one writes. Neither decides anything.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use timed_core::{ConnId, TransportCause};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Arrival;
use super::link::{Link, Order, Patience, Task, Wanted};
use crate::limits::{CHUNK, LINGER};
use crate::network::Network;
use crate::tcp::cause;

/// Proof that a connection's task still runs: when all are dropped, nothing is under way any more.
pub(super) type Alive = mpsc::Sender<std::convert::Infallible>;

/// What one look at a connection brings.
enum Step {
    Data(Box<[u8]>),
    Lost(TransportCause),
    Pause,
    Discard,
    Stop,
}

/// Hands what arrives to the driver, and at last that nothing more will: once, unless the driver has let go of the
/// connection before.
pub(super) async fn read<N: Network>(
    conn: ConnId,
    mut half: N::Read,
    link: Arc<Link>,
    network: Arc<N>,
    driver: mpsc::Sender<Arrival<N>>,
    alive: Alive,
) {
    let cause = loop {
        match poll_fn(|cx| step(cx, &mut half, &link)).await {
            Step::Data(bytes) => {
                link.brought();
                if driver.send(Arrival::Data { conn, bytes }).await.is_err() {
                    return;
                }
            }
            Step::Pause => {
                let resumed = poll_fn(|cx| match link.order(cx) {
                    Order::Pause => Poll::Pending,
                    _ => Poll::Ready(()),
                });
                tokio::select! {
                    () = resumed => {}
                    error = network.broken(&half) => break cause(&error),
                }
            }
            Step::Lost(cause) => break cause,
            Step::Discard => {
                let _ = timeout(LINGER, poll_fn(|cx| discard(cx, &mut half, &link))).await;
                // The writer may still wait for room that nobody will make.
                link.cut();
                return;
            }
            Step::Stop => return,
        }
    };
    let _ = driver.send(Arrival::Lost { conn, cause }).await;
    drop(alive);
}

fn step(cx: &mut Context<'_>, half: &mut (impl AsyncRead + Unpin), link: &Link) -> Poll<Step> {
    let doom = match link.order(cx) {
        Order::Read(doom) => doom,
        Order::Pause => return Poll::Ready(Step::Pause),
        Order::Wait => return Poll::Pending,
        Order::Lost(cause) => return Poll::Ready(Step::Lost(cause)),
        Order::Discard => return Poll::Ready(Step::Discard),
        Order::Stop => return Poll::Ready(Step::Stop),
    };
    // On the stack: a connection on which nothing arrives holds no buffer.
    let mut space = [const { MaybeUninit::uninit() }; CHUNK];
    let mut buffer = ReadBuf::uninit(&mut space);
    Poll::Ready(match (Pin::new(half).poll_read(cx, &mut buffer), doom) {
        (Poll::Pending, None) => return Poll::Pending,
        (Poll::Pending, Some(cause)) => Step::Lost(cause),
        (Poll::Ready(Ok(())), _) if !buffer.filled().is_empty() => Step::Data(buffer.filled().into()),
        (Poll::Ready(_), Some(cause)) => Step::Lost(cause),
        (Poll::Ready(Ok(())), None) => Step::Lost(TransportCause::Eof),
        (Poll::Ready(Err(error)), None) => Step::Lost(cause(&error)),
    })
}

/// Done when the peer has closed, too, or nobody waits for that any more.
fn discard(cx: &mut Context<'_>, half: &mut (impl AsyncRead + Unpin), link: &Link) -> Poll<()> {
    loop {
        if link.order(cx) == Order::Stop {
            return Poll::Ready(());
        }
        let mut space = [const { MaybeUninit::uninit() }; CHUNK];
        let mut buffer = ReadBuf::uninit(&mut space);
        match ready!(Pin::new(&mut *half).poll_read(cx, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => {}
            _ => return Poll::Ready(()),
        }
    }
}

/// Writes what the driver has put into the link.
pub(super) async fn write<N: Network>(
    conn: ConnId,
    mut half: N::Write,
    link: Arc<Link>,
    driver: mpsc::Sender<Arrival<N>>,
    alive: Alive,
) {
    loop {
        match poll_fn(|cx| link.poll_task(cx)).await {
            Task::Write(bytes) => match write_all(&mut half, &link, &bytes).await {
                Ok(()) => {
                    drop(bytes);
                    if link.written() == Wanted::Room && driver.send(Arrival::Room { conn }).await.is_err() {
                        return;
                    }
                }
                Err(error) => return link.broken(cause(&error)),
            },
            Task::Finish(bytes) => {
                let finish = async {
                    write_all(&mut half, &link, &bytes).await?;
                    poll_fn(|cx| Pin::new(&mut half).poll_shutdown(cx)).await
                };
                if !matches!(timeout(LINGER, finish).await, Ok(Ok(()))) {
                    link.cut();
                }
                break;
            }
            Task::Stop => break,
        }
    }
    drop(alive);
}

async fn write_all(half: &mut (impl AsyncWrite + Unpin), link: &Link, bytes: &[u8]) -> io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        let count = poll_fn(|cx| {
            let polled = Pin::new(&mut *half).poll_write(cx, left);
            if polled.is_pending() && link.strained(cx) == Patience::Over {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            polled
        })
        .await?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        left = left.get(count..).unwrap_or_default();
    }
    Ok(())
}
