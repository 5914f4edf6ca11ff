namespace Peft

open System
open System.Globalization
open System.IO
open System.Reflection

/// The best peak learning rate that a search found for a technique on a task.
type SearchedRate =
    {
        Task: string
        Technique: Technique
        Level: Level
        /// The peak learning rate.
        Peak: float
        /// The lowest of its epochs' losses on the validation rows, in nats per token, a mean over seeds.
        ValidationLoss: float
        /// Of how many trials it is the best.
        Trials: int
    }

/// The learning rates that were searched for the embedded model: `data/models/tiny/rates.csv`, as `peft search --output` writes it.
[<RequireQualifiedAccess>]
module SearchedRate =
    let private heading = "task,technique,level,peak,validation loss,trials"

    let private number (format: string) (value: float) =
        value.ToString(format, CultureInfo.InvariantCulture)

    /// The rates as CSV. Words of techniques have commas, so that they stand in quotes.
    let toCsv (rates: SearchedRate list) : string =
        let row (rate: SearchedRate) =
            $"{rate.Task},\"{Technique.text rate.Technique}\",{Level.name rate.Level},"
            + $"""{number "R" rate.Peak},{number "F4" rate.ValidationLoss},{rate.Trials}"""

        heading :: List.map row rates
        |> List.map (fun line -> line + "\n")
        |> String.concat ""

    let private ofLine (file: string) (line: string) : SearchedRate =
        let damaged () =
            userError $"{file} is damaged at '{Printable.short 80 line}': rows are {heading}."

        match line.Split '"' with
        | [| task; technique; rest |] ->
            match task.Trim ',', rest.Split ',' with
            | task, [| ""; level; peak; loss; trials |] ->
                let style = NumberStyles.Float, CultureInfo.InvariantCulture

                match
                    Double.TryParse(peak, fst style, snd style),
                    Double.TryParse(loss, fst style, snd style),
                    Int32.TryParse trials
                with
                | (true, peak), (true, loss), (true, trials) when Double.IsFinite peak && peak > 0.0 ->
                    {
                        Task = task
                        Technique = Technique.parse technique
                        Level = Level.find level
                        Peak = peak
                        ValidationLoss = loss
                        Trials = trials
                    }
                | _ -> damaged ()
            | _ -> damaged ()
        | _ -> damaged ()

    /// Reads what `toCsv` writes; `file` is for messages. `UserError` names the line that is no rate.
    let ofCsv (file: string) (text: string) : SearchedRate list =
        match text.Split('\n', StringSplitOptions.RemoveEmptyEntries) |> List.ofArray with
        | first :: lines when first.Trim() = heading -> lines |> List.map (_.Trim() >> ofLine file)
        | _ -> userError $"{file} holds no rates: its first line is not {heading}."

    let private embedded =
        lazy
            (let name = "models/rates.csv"

             match Assembly.GetExecutingAssembly().GetManifestResourceStream name with
             | null -> []
             | stream ->
                 use reader = new StreamReader(stream)
                 ofCsv name (reader.ReadToEnd()))

    /// All that were searched.
    let all () : SearchedRate list = embedded.Value

    /// How many rows of one level are how far from those of another: a factor, as a logarithm.
    let private apart (one: Level) (other: Level) =
        abs (log (float (Level.rows one)) - log (float (Level.rows other)))

    /// What was found for a technique on a task: at this level, or at the one with the nearest number of rows. None where it was
    /// not searched.
    let tryFind (task: string) (technique: Technique) (level: Level) : SearchedRate option =
        match
            all ()
            |> List.filter (fun rate -> rate.Task = task && rate.Technique = technique)
        with
        | [] -> None
        | found -> found |> List.minBy (fun rate -> apart rate.Level level) |> Some

    let private middle (rates: SearchedRate list) : float =
        rates |> List.averageBy (fun rate -> log rate.Peak) |> exp

    /// The geometric mean of the rates among `rates` that were found nearest to what is asked for: of the same kind of technique with other
    /// settings on this task, or else of the same kind on other tasks. None where there is nothing of the kind.
    let nearest (rates: SearchedRate list) (task: string) (technique: Technique) : float option =
        match rates |> List.filter (fun rate -> rate.Technique.Name = technique.Name) with
        | [] -> None
        | kind ->
            match
                kind |> List.filter (fun rate -> rate.Task = task),
                kind |> List.filter (fun rate -> rate.Technique = technique)
            with
            | [], [] -> Some(middle kind)
            | [], elsewhere -> Some(middle elsewhere)
            | here, _ -> Some(middle here)
