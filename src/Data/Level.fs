namespace Peft

/// The paper's three amounts of training data.
type Level =
    | Low
    | Medium
    | High

[<RequireQualifiedAccess>]
module Level =
    /// Every level, the smallest first.
    let all: Level list = [ Low; Medium; High ]

    /// The most training rows of a level.
    let rows (level: Level) : int =
        match level with
        | Low -> 100
        | Medium -> 1_000
        | High -> 10_000

    /// The name in options, files and tables.
    let name (level: Level) : string =
        match level with
        | Low -> "low"
        | Medium -> "medium"
        | High -> "high"

    /// The name of a run's level; empty for a baseline, which has none.
    let text (level: Level option) : string =
        level |> Option.map name |> Option.defaultValue ""

    /// The level of a name; `UserError` where there is none.
    let find (text: string) : Level =
        match all |> List.tryFind (fun level -> name level = text) with
        | Some level -> level
        | None -> userError $"There is no level \"{text}\". Choose one of low, medium, high."
