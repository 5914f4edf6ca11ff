namespace Peft

open System
open System.Text.RegularExpressions

/// Which modules a configuration of peft means.
type ModuleTarget =
    /// A module whose name is one of these or ends in a dot and one of these.
    | ModuleNames of string list
    /// A module whose whole name matches this regular expression.
    | ModulePattern of string
    /// Every linear map but the head.
    | AllLinear

/// Which modules an adapter changes, as peft's configurations say it.
type Targeting =
    {
        Targets: ModuleTarget
        Excluded: ModuleTarget option
        /// Only these numbers of layers; empty: all. Counts only for targets given by names.
        Layers: int list
        /// What stands before the number of a layer, as `block`; empty: whatever stands before a number of the name.
        LayersPatterns: string list
        /// Without a pattern, whether the first number of a name is its layer's, as for peft 0.20 and newer, or the last.
        CountsFirstNumber: bool
    }

[<RequireQualifiedAccess>]
module Targeting =
    /// Modules by their names or the ends of them.
    let ofNames (names: string list) : Targeting =
        {
            Targets = ModuleNames names
            Excluded = None
            Layers = []
            LayersPatterns = []
            CountsFirstNumber = true
        }

    let private isMatch (pattern: string) (text: string) =
        try
            Regex.IsMatch(text, pattern, RegexOptions.CultureInvariant, TimeSpan.FromSeconds 2.0)
        with
        | :? RegexMatchTimeoutException -> userError $"the regular expression '{pattern}' takes too long on '{text}'."
        | :? ArgumentException -> userError $"'{pattern}' is no regular expression."

    /// Whether a target means the module of this name.
    let covers (target: ModuleTarget) (name: string) : bool =
        match target with
        | AllLinear -> true
        | ModulePattern pattern -> isMatch $@"\A(?:{pattern})\z" name
        | ModuleNames names ->
            names
            |> List.exists (fun target -> name = target || name.EndsWith($".{target}", StringComparison.Ordinal))

    /// The number that peft takes for a module's layer; none where there is none.
    let private layerOf (where: Targeting) (name: string) : int option =
        let expressions =
            match where.LayersPatterns |> List.filter ((<>) "") with
            | [] when where.CountsFirstNumber -> [ @"\A.*?\.[^.]*\.(?<layer>\d+)\." ]
            | [] -> [ @"\A.*\.[^.]*\.(?<layer>\d+)\." ]
            | given -> given |> List.map (fun pattern -> $@"\A.*\.(?:{pattern})\.(?<layer>\d+)\.")

        expressions
        |> List.tryPick (fun expression ->
            if isMatch expression name then
                Some(int (Regex.Match(name, expression, RegexOptions.CultureInvariant)).Groups["layer"].Value)
            else
                None)

    /// Whether peft would change the module of this name.
    let includes (where: Targeting) (name: string) : bool =
        let isExcluded =
            match where.Excluded with
            | Some excluded -> covers excluded name
            | None -> false

        let isInLayers =
            match where.Targets, where.Layers with
            | ModuleNames names, _ when List.contains name names -> true
            | ModuleNames _, _ :: _ ->
                layerOf where name
                |> Option.exists (fun layer -> List.contains layer where.Layers)
            | _ -> true

        not isExcluded && covers where.Targets name && isInLayers

    /// The value of the first pattern that fits the end of a site's name (peft's `rank_pattern` and `alpha_pattern`).
    let lookUp (patterns: (string * 'a) list) (fallback: 'a) (name: string) : 'a =
        patterns
        |> List.tryFind (fun (pattern, _) -> isMatch $@"\A(.*\.)?({pattern})$" name)
        |> Option.map snd
        |> Option.defaultValue fallback

    /// The linear maps as a selector.
    let selector (where: Targeting) : Selector =
        fun site -> includes where (Site.name site)

    /// The names, where names are all that it says.
    let names (where: Targeting) : string list option =
        match where with
        | {
              Targets = ModuleNames names
              Excluded = None
              Layers = []
          } -> Some names
        | _ -> None

    /// The names, where words can say them: names of maps in any family, with one module before at most, or what maps do.
    let said (where: Targeting) : string list option =
        let isKnown (name: string) =
            match List.ofArray (name.Split '.') with
            | [ word ] ->
                List.contains word Checkpoint.maps
                || Part.words |> List.exists (fst >> (=) word)
            | [ _; word ] -> List.contains word Checkpoint.maps
            | _ -> false

        names where |> Option.filter (List.forall isKnown)

    /// Whether the names are these and no others.
    let isOn (these: string list) (where: Targeting) : bool =
        names where |> Option.exists (fun found -> set found = set these)

    /// Queries and values, where peft puts LoRA and what came of it in most families.
    let usual: Targeting = ofNames [ "q"; "v" ]

    /// Where an update stands: at its family's usual maps where that is all that is said, where the words mean if words say
    /// it, and where peft would put it otherwise.
    let updated (where: Targeting) : Selector =
        match said where with
        | Some _ when isOn [ "q"; "v" ] where -> Selector.usual Change.Update
        | Some words -> Selector.named words
        | None -> selector where

    /// The setting `on=q+k` in a technique's words; none where it is the usual.
    let words (where: Targeting) : string option =
        match said where with
        | Some [ "q"; "v" ]
        | None -> None
        | Some names -> Some("on=" + String.Join("+", names))

    /// What the setting `on=q+k` says.
    let read (technique: string) (words: Words) : Targeting option =
        words.Names "on"
        |> Option.map (fun names ->
            match names |> List.tryFind (fun name -> (said (ofNames [ name ])).IsNone) with
            | Some unknown ->
                let known = List.map fst Part.words @ Checkpoint.maps |> List.distinct
                refuse $"{technique} cannot be on '{unknown}': {Nearest.question known unknown}"
            | None -> ofNames names)

    /// With names in order, which they mean in any.
    let sorted (where: Targeting) : Targeting =
        match where.Targets with
        | ModuleNames names ->
            { where with
                Targets = ModuleNames(List.sort names)
            }
        | _ -> where
