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

    /// 1, 2 and 5 times the powers of ten of a range; the powers alone where it spans more than two. Two of them at least
    /// lie within it, or there are none.
    let private decades (low: float) (high: float) : float list =
        let first, last = int (floor (log10 low)), int (ceil (log10 high))
        let factors = if last - first > 2 then [ 1.0 ] else [ 1.0; 2.0; 5.0 ]

        let places =
            [
                for power in first..last do
                    for factor in factors -> factor * 10.0 ** float power
            ]

        match places |> List.filter (fun value -> value >= low && value <= high) with
        | _ :: _ :: _ -> places
        | _ -> []

    /// Below this ratio a range's ends are one value to the eye.
    let private leastRatio = 1.00001

    /// Whole numbers where they tell the places apart, else as many decimals as do.
    let private named (places: float list) : (float * string) list =
        let names decimals =
            places
            |> List.map (fun value ->
                NumberStyle.text
                    (if value < 1.0 then
                         Significant(2 + decimals)
                     else
                         Plain decimals)
                    value)

        let tells (names: string list) =
            List.length (List.distinct names) = places.Length

        [ 0..6 ]
        |> List.map names
        |> List.tryFind tells
        |> Option.defaultWith (fun () -> places |> List.map Render.exact)
        |> List.zip places

    /// Named places for a logarithmic axis over these values, two at least: those of `decades`, else the ends of the range,
    /// else half and twice its one value.
    let private logTicks (values: float list) : (float * string) list =
        match List.min values, List.max values with
        | low, high when high < low * leastRatio -> named [ low / 2.0; low; low * 2.0 ]
        | low, high ->
            match decades low high with
            | [] -> named [ low; high ]
            | places -> named places

    /// A logarithmic axis of positive numbers with named places for these values.
    let logAxis (title: string) (values: float list) : ChartAxis =
        { axis title with
            IsLogarithmic = true
            Ticks = if values.IsEmpty then [] else logTicks values
        }

    /// The ends of the places of a logarithmic axis where they must be its limits, since its figure's own range is too
    /// narrow for two of them.
    let limits (figure: Chart) : (float * float) option =
        let values =
            figure.Series |> List.collect (fun series -> series.Points |> List.map _.X)

        let places = figure.X.Ticks |> List.map fst

        if not figure.X.IsLogarithmic || values.IsEmpty || places.IsEmpty then
            None
        else
            let low, high = List.min values, List.max values

            match places |> List.filter (fun place -> place >= low && place <= high) with
            | _ :: _ :: _ -> None
            | _ -> Some(List.min places, List.max places)

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
