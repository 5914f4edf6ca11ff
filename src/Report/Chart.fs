namespace Peft.Reports

open Peft

/// One point of a figure, with its interval.
type ChartPoint =
    {
        X: float
        Y: float
        /// Ends of the interval of `Y`; nan for none.
        Low: float
        High: float
        /// In words, for people who point at it or read it.
        Label: string
        /// The ids of the runs it was computed from.
        Runs: string list
    }

type ChartSeries =
    {
        Name: string
        /// The technique's number, which decides colour and marker: the same in all figures of a report.
        Technique: int
        Points: ChartPoint list
        /// Whether a line joins the points.
        IsJoined: bool
        /// Whether the points themselves are drawn.
        HasMarkers: bool
    }

type ChartAxis =
    {
        Title: string
        IsLogarithmic: bool
        /// Named places; empty for numbers at places of the renderer's choice.
        Ticks: (float * string) list
    }

/// A figure as data, drawn by the page's script and, for papers, as PNG and SVG.
type Chart =
    {
        /// The name of its files.
        Name: string
        /// Figures of a group are variants of one: the page shows one of them at a time.
        Group: string
        /// Which variant of its group it is, in words.
        Choice: string
        Title: string
        Caption: string
        X: ChartAxis
        Y: ChartAxis
        Series: ChartSeries list
        /// The height of a dashed line across; nan for none.
        Reference: float
    }

[<RequireQualifiedAccess>]
module Chart =
    /// Okabe and Ito's colours (2008), which colour-blind readers tell apart, in shades that stand out on white and on black.
    let colours: string list =
        [
            "#0072b2"
            "#d55e00"
            "#009e73"
            "#b8860b"
            "#cc79a7"
            "#56b4e9"
            "#8b5fbf"
            "#7f7f7f"
        ]

    /// Marker shapes, by Plotly's names; each round of colours takes the next one.
    let markers: string list = [ "circle"; "square"; "diamond"; "triangle-up" ]

    /// The colour of a technique's number; -1 is that of lines which are no technique's.
    let colour (technique: int) : string =
        if technique < 0 then
            "#7f7f7f"
        else
            colours[technique % colours.Length]

    /// The marker of a technique's number.
    let marker (technique: int) : string =
        markers[max 0 technique / colours.Length % markers.Length]

    /// A linear axis of numbers.
    let axis (title: string) : ChartAxis =
        {
            Title = title
            IsLogarithmic = false
            Ticks = []
        }

    /// 1, 2 and 5 times the powers of ten of a range; the powers alone where it spans more than two; its ends where
    /// fewer than two of these lie within it.
    let private decades (low: float) (high: float) : (float * string) list =
        let first, last = int (floor (log10 low)), int (ceil (log10 high))
        let factors = if last - first > 2 then [ 1.0 ] else [ 1.0; 2.0; 5.0 ]

        let named value =
            value, NumberStyle.text (if value < 1.0 then Significant 2 else Grouped) value

        let places =
            [
                for power in first..last do
                    for factor in factors -> factor * 10.0 ** float power
            ]

        let within = places |> List.filter (fun value -> value >= low && value <= high)

        (if within.Length < 2 then
             List.distinct [ low; high ]
         else
             places)
        |> List.map named

    /// A logarithmic axis of positive numbers with named places for these values.
    let logAxis (title: string) (values: float list) : ChartAxis =
        { axis title with
            IsLogarithmic = true
            Ticks =
                if values.IsEmpty then
                    []
                else
                    decades (List.min values) (List.max values)
        }

    /// An axis of named places 0, 1, 2, ….
    let categories (title: string) (names: string list) : ChartAxis =
        { axis title with
            Ticks = names |> List.mapi (fun place name -> float place, name)
        }

    /// Where the `index`th of `count` neighbours stands around a place, so that their intervals do not overlap.
    let dodge (index: int) (count: int) : float =
        if count < 2 then
            0.0
        else
            0.7 * (float index / float (count - 1) - 0.5)
