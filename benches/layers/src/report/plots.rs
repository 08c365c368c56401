//! What grows, drawn.

use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;
use proxyfix_bench_layers::inputs;
use proxyfix_bench_layers::scale::Series;
use proxyfix_bench_layers::sets::{LOOKUPS, OURS};

use crate::Result;
use crate::counts::Counts;

/// Whose costs are drawn, as what, and whether this is ours.
type Line = (&'static str, &'static str);

const CHAIN: &[Line] = &[
    ("unrecorded", "proxyfix"),
    ("recorded", "proxyfix, the origin recorded"),
    ("limit", "by hand"),
    ("real-ip", "real-ip"),
    ("trusted-proxies", "trusted-proxies"),
    ("tower-real-ip", "tower-real-ip"),
    ("forwarded-header-value", "forwarded-header-value"),
];

const SETS: &[Line] = &[
    (OURS, "proxyfix"),
    ("iptrie", "iptrie"),
    ("prefix-trie", "prefix-trie"),
    ("iprange", "iprange"),
    ("rangemap", "rangemap"),
    ("ip_network_table", "ip_network_table"),
    ("ipnet-linear", "ipnet, one after another"),
];

/// What is drawn of a series, and how it is called.
pub(crate) struct Plot {
    pub(crate) series: Series,
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    across: &'static str,
    up: &'static str,
    pub(crate) lines: &'static [Line],
    /// Whether both axes are logarithmic.
    wide: bool,
}

pub(crate) const PLOTS: [Plot; 5] = [
    Plot {
        series: Series::Trusted,
        file: "trusted-entries.svg",
        title: "A chain of trusted proxies",
        across: "entries of X-Forwarded-For, all but one by trusted proxies",
        up: "instructions beyond the bare service",
        lines: CHAIN,
        wide: false,
    },
    Plot {
        series: Series::Client,
        file: "client-entries.svg",
        title: "Entries that the client wrote",
        across: "entries in front of the one that the proxy wrote",
        up: "instructions beyond the bare service",
        lines: CHAIN,
        wide: true,
    },
    Plot {
        series: Series::Lines,
        file: "lines.svg",
        title: "Lines that the client wrote",
        across: "lines of X-Forwarded-For, the last by the proxy",
        up: "instructions beyond the bare service",
        lines: CHAIN,
        wide: true,
    },
    Plot {
        series: Series::Layers,
        file: "layers.svg",
        title: "Layers around each other",
        across: "layers, each with a policy of its own",
        up: "instructions beyond the bare service",
        lines: CHAIN,
        wide: false,
    },
    Plot {
        series: Series::Networks,
        file: "networks.svg",
        title: "One look-up in a set of networks",
        across: "networks in the set",
        up: "instructions of a look-up",
        lines: SETS,
        wide: true,
    },
];

/// The points of a line: only where its answer is right.
pub(crate) fn points(counts: &Counts, plot: &Plot, case: &str) -> Vec<(f64, f64)> {
    let client = inputs::named("proxy-one-entry").client;
    let numbers = plot.series.numbers().iter();
    let points = numbers.filter_map(|number| {
        let count = counts.get(&format!("{}{number}", plot.series.word()), case)?;
        let set = plot.series == Series::Networks;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let (number, asked) = (*number as f64, if set { LOOKUPS as f64 } else { 1.0 });
        (set || count.answer == client).then(|| (number, count.instructions / asked))
    });
    points.collect()
}

/// Draws all plots into `dir`.
pub(crate) fn draw(counts: &Counts, dir: &Path) -> Result {
    for plot in &PLOTS {
        let file = dir.join(plot.file);
        let lines: Vec<_> =
            plot.lines.iter().map(|(case, name)| (*name, points(counts, plot, case))).collect();
        // One point is no line: the first line of many may be all that a crate reads.
        let lines: Vec<_> = lines.into_iter().filter(|(_, points)| points.len() > 1).collect();
        draw_one(plot, &lines, &file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

const COLORS: [RGBColor; 7] = [
    RGBColor(200, 30, 30),
    RGBColor(30, 90, 180),
    RGBColor(110, 110, 110),
    RGBColor(230, 140, 20),
    RGBColor(40, 140, 70),
    RGBColor(130, 70, 160),
    RGBColor(0, 150, 170),
];

type Drawn<'a> = (&'a str, Vec<(f64, f64)>);

fn draw_one(
    plot: &Plot,
    lines: &[Drawn<'_>],
    file: &Path,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let all = || lines.iter().flat_map(|line| &line.1);
    let most = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(1.0, f64::max);
    let least = all().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let root = SVGBackend::new(file, (860, 520)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut builder = ChartBuilder::on(&root);
    builder.caption(plot.title, ("sans-serif", 22)).margin(14);
    builder.x_label_area_size(50).y_label_area_size(90);
    let (right, top) = (most(|point| point.0), most(|point| point.1) * 1.05);
    if plot.wide {
        let across: Range<f64> = 1.0..right * 1.1;
        let up = 10_f64.powf(least.log10().floor())..10_f64.powf(top.log10().ceil());
        let mut chart = builder.build_cartesian_2d(across.log_scale(), up.log_scale())?;
        chart
            .configure_mesh()
            .x_desc(plot.across)
            .y_desc(plot.up)
            .x_label_formatter(&number)
            .y_label_formatter(&number)
            .label_style(("sans-serif", 14))
            .axis_desc_style(("sans-serif", 16))
            .light_line_style(WHITE)
            .draw()?;
        fill(&mut chart, lines)
    } else {
        let mut chart = builder.build_cartesian_2d(0.0..right * 1.02, 0.0..top)?;
        chart
            .configure_mesh()
            .x_desc(plot.across)
            .y_desc(plot.up)
            .x_label_formatter(&number)
            .y_label_formatter(&number)
            .label_style(("sans-serif", 14))
            .axis_desc_style(("sans-serif", 16))
            .light_line_style(WHITE)
            .draw()?;
        fill(&mut chart, lines)
    }?;
    root.present()?;
    Ok(())
}

/// Draws the lines, their points, and what they are.
fn fill<'a, X, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    lines: &[Drawn<'_>],
) -> std::result::Result<(), Box<dyn std::error::Error>>
where
    X: plotters::coord::ranged1d::Ranged<ValueType = f64>,
    Y: plotters::coord::ranged1d::Ranged<ValueType = f64>,
{
    for ((name, points), color) in lines.iter().zip(COLORS) {
        let style = color.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, color.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 14))
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(180, 180, 180))
        .draw()?;
    Ok(())
}

/// A number with a space between its thousands.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as plotters calls it")]
fn number(value: &f64) -> String {
    crate::text::whole(*value)
}
