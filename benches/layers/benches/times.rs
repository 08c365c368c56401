//! The times of what `count` counts, in one process. Only their ratios mean anything.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use proxyfix_bench_layers::{Kind, cases, inputs, sets};

fn times(criterion: &mut Criterion) {
    let compared: Vec<_> = inputs::all().iter().map(|input| input.name.to_owned()).collect();
    let sets: Vec<_> = sets::SIZES.iter().map(|size| format!("set-{size}")).collect();
    for mut case in cases() {
        let name = case.input.name.to_owned();
        // Who listens in one case makes all that come later dearer.
        let heard = case.name.ends_with("-heard");
        let layer =
            compared.contains(&name) && !heard && !matches!(case.kind, Kind::Function | Kind::Removing);
        if layer || sets.contains(&name) {
            let request = case.input.request();
            // A group is taken up again by its name.
            let mut group = criterion.benchmark_group(name);
            group.bench_function(case.name, |bencher| bencher.iter(|| (case.call)(black_box(&request))));
            group.finish();
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .without_plots();
    targets = times
}
criterion_main!(benches);
