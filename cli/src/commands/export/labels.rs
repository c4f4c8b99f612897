//! Labels: what someone says of a container's or a thread's calls.

use rastro_store::Label;

/// The labels of one container.
#[derive(Debug, Clone)]
pub(super) struct Labels<'a> {
    /// Those of single threads before those of the whole container.
    labels: Vec<&'a Label>,
}

impl<'a> Labels<'a> {
    /// Those of `labels` that are about the container with this id.
    pub(super) fn of_container(labels: &'a [Label], container: &str) -> Self {
        let mut labels: Vec<_> = labels.iter().filter(|label| label.container == container).collect();
        labels.sort_by_key(|label| label.thread.is_none());
        Self { labels }
    }

    /// The label of a call of `thread` at `time_ns`: one that names the thread before one of the whole container. A label holds
    /// from its start up to, not including, its end.
    pub(super) fn of(&self, thread: Option<i64>, time_ns: i64) -> Option<&'a str> {
        self.labels
            .iter()
            .find(|label| {
                label.thread.is_none_or(|labelled| thread == Some(labelled))
                    && label.start_ns.is_none_or(|start_ns| time_ns >= start_ns)
                    && label.end_ns.is_none_or(|end_ns| time_ns < end_ns)
            })
            .map(|label| label.label.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threads_own_label_comes_before_its_containers() {
        let label = |thread, start_ns, end_ns, label: &str| Label {
            container: "a".to_owned(),
            thread,
            start_ns,
            end_ns,
            label: label.to_owned(),
        };
        let labels = [
            label(None, None, None, "normal"),
            label(Some(7), Some(100), Some(200), "shell"),
            Label { container: "b".to_owned(), ..label(None, None, None, "other") },
        ];
        let of_a = Labels::of_container(&labels, "a");
        assert_eq!(of_a.of(Some(7), 100), Some("shell"));
        assert_eq!(of_a.of(Some(7), 199), Some("shell"));
        assert_eq!(of_a.of(Some(7), 200), Some("normal"));
        assert_eq!(of_a.of(Some(8), 150), Some("normal"));
        assert_eq!(of_a.of(None, 150), Some("normal"));
        assert_eq!(Labels::of_container(&labels, "c").of(None, 0), None);
    }
}
