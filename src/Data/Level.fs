namespace Peft

/// An amount of training data: one of the paper's three, or a number of rows.
type Level =
    | Low
    | Medium
    | High
    /// As many rows as it says, or as there are.
    | Amount of rows: int

[<RequireQualifiedAccess>]
module Level =
    /// The paper's levels, the smallest first.
    let all: Level list = [ Low; Medium; High ]

    /// The most training rows of a level.
    let rows (level: Level) : int =
        match level with
        | Low -> 100
        | Medium -> 1_000
        | High -> 10_000
        | Amount rows -> rows

    /// All training rows that there are.
    let everything: Level = Amount System.Int32.MaxValue

    /// A level among so many training rows: an amount becomes the number of rows that it comes to, so that results name it.
    let among (available: int) (level: Level) : Level =
        match level with
        | Amount rows -> Amount(min rows available)
        | paper -> paper

    /// The paper's level whose most rows hold so many; more than 1,000 are high.
    let ofRows (rows': int) : Level =
        all
        |> List.tryFind (fun level -> rows' <= rows level)
        |> Option.defaultValue High

    /// The name in options, files and tables: `low`, `240-rows`, `all-rows`.
    let name (level: Level) : string =
        match level with
        | Low -> "low"
        | Medium -> "medium"
        | High -> "high"
        | Amount _ when level = everything -> "all-rows"
        | Amount rows -> $"{rows}-rows"

    /// The name of a run's level; empty for a baseline, which has none.
    let text (level: Level option) : string =
        level |> Option.map name |> Option.defaultValue ""

    let private tryAmount (text: string) : Level option =
        match text.Split '-' with
        | [| rows; "rows" |] ->
            match System.Int32.TryParse rows with
            | true, rows when rows > 0 -> Some(Amount rows)
            | _ -> None
        | _ -> None

    /// The level of a name; `UserError` where there is none.
    let find (text: string) : Level =
        match
            (everything :: all)
            |> List.tryFind (fun level -> name level = text)
            |> Option.orElse (tryAmount text)
        with
        | Some level -> level
        | None ->
            userError
                $"There is no level \"{text}\". Choose one of low, medium, high, all-rows, or a number of rows such as 240-rows."
