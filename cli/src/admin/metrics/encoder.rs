//! Writes families of metrics.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use wasock::observe::DurationHistogram;

/// No label.
pub(super) const NO_LABELS: [(&str, &str); 0] = [];

/// As near as it goes: a gauge is a floating-point number.
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// Writes one family after the other.
pub(super) struct Encoder<'a>(pub(super) DescriptorEncoder<'a>);

impl Encoder<'_> {
    fn family<L: EncodeLabelSet, M: EncodeMetric>(
        &mut self,
        name: &str,
        unit: Option<&Unit>,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = (L, M)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit, kind)?;
        for (labels, sample) in samples {
            sample.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    pub(super) fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let samples = samples.into_iter().map(|(labels, count)| (labels, ConstCounter::new(count)));
        self.family(name, None, help, MetricType::Counter, samples)
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        self.counters(name, help, [(NO_LABELS, count)])
    }

    pub(super) fn seconds(&mut self, name: &str, help: &str, time: Duration) -> fmt::Result {
        let sample = (NO_LABELS, ConstCounter::new(time.as_secs_f64()));
        self.family(name, Some(&Unit::Seconds), help, MetricType::Counter, [sample])
    }

    pub(super) fn gauges_in<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        unit: Option<&Unit>,
        help: &str,
        samples: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let samples = samples.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.family(name, unit, help, MetricType::Gauge, samples)
    }

    pub(super) fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        self.gauges_in(name, None, help, samples)
    }

    pub(super) fn gauge_in(
        &mut self,
        name: &str,
        unit: Option<&Unit>,
        help: &str,
        value: u64,
    ) -> fmt::Result {
        self.gauges_in(name, unit, help, [(NO_LABELS, float(value))])
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.gauge_in(name, None, help, value)
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, times: &DurationHistogram) -> fmt::Result {
        let within = times.buckets.iter().map(|(_, count)| *count).fold(0, u64::saturating_add);
        let longer = (f64::INFINITY, times.count.saturating_sub(within));
        let buckets: Vec<_> = times
            .buckets
            .iter()
            .map(|(bound, count)| (bound.as_secs_f64(), *count))
            .chain([longer])
            .collect();
        let mut family: MetricEncoder<'_> =
            self.0.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        family.encode_histogram::<NoLabelSet>(times.sum.as_secs_f64(), times.count, &buckets, None)
    }
}
