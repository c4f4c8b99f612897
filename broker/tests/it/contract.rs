//! What every home of the queue promises alike. Each takes what opens the queue, always the same one.

use rastro_broker::{Broker, BrokerError, Delivery};
use rastro_model::{Position, StreamId};

use crate::{chunk, first_lines};

/// Repeats vanish, and what does not follow its stream's end is refused, also after reopening.
pub(crate) async fn appending_is_exact<Home: Broker>(
    open: impl AsyncFn() -> Home,
    take_all: impl AsyncFn(&Home) -> Vec<Delivery>,
) {
    let broker = open().await;
    assert_eq!(broker.stream_end(StreamId(1)).await.unwrap(), None);
    assert_eq!(broker.append(vec![chunk(1, 0, 5), chunk(1, 5, 9)]).await.unwrap(), 2);
    drop(broker);
    let broker = open().await;
    assert_eq!(broker.append(vec![chunk(1, 0, 5), chunk(1, 5, 9), chunk(1, 9, 12)]).await.unwrap(), 1);
    let end = broker.stream_end(StreamId(1)).await.unwrap().unwrap();
    assert_eq!((end.position, end.next_line), (Position::new(0, 120), 12));
    let error = broker.append(vec![chunk(1, 13, 14)]).await.unwrap_err();
    assert!(matches!(error, BrokerError::OutOfOrder { .. }), "{error}");
    // Half of it is known: its boundaries are not those that were accepted.
    assert!(broker.append(vec![chunk(1, 9, 14)]).await.is_err());
    assert_eq!(first_lines(&take_all(&broker).await), [(1, 0), (1, 5), (1, 9)]);
}

/// A stream that a new queue has never heard of may begin anywhere.
pub(crate) async fn a_stream_may_begin_in_its_middle(broker: &impl Broker) {
    assert_eq!(broker.append(vec![chunk(1, 40, 41)]).await.unwrap(), 1);
    assert_eq!(broker.stream_end(StreamId(1)).await.unwrap().unwrap().next_line, 41);
}
