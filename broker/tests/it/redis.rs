//! What the broker promises on a real Redis. Each test has a server of its own; without redis-server they say so and pass.

mod addresses;
mod faults;
mod list;
mod queue;
mod refusals;
mod server;

use std::time::Duration;

use rastro_broker::{Broker, Delivery, RedisBroker};

use crate::first_lines;

/// Takes until nothing has come for a moment.
async fn take_all(broker: &RedisBroker) -> Vec<Delivery> {
    let mut all = Vec::new();
    loop {
        let some = broker.take(usize::MAX, Duration::from_millis(150)).await.unwrap();
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

async fn acknowledge_all(broker: &RedisBroker, deliveries: &[Delivery]) {
    broker.acknowledge(&deliveries.iter().map(|delivery| delivery.id).collect::<Vec<_>>()).await.unwrap();
}

/// First lines of the chunks of one stream.
fn lines_of(stream: u64, deliveries: &[Delivery]) -> Vec<u64> {
    first_lines(deliveries).into_iter().filter(|(of, _)| *of == stream).map(|(_, line)| line).collect()
}
