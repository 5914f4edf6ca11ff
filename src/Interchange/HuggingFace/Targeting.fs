namespace Peft

open System
open System.Text.Json
open System.Text.RegularExpressions
open TorchSharp

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
        /// What stands before the number of a layer, as `block`; empty: whatever stands before the last number.
        LayersPatterns: string list
    }

/// peft's LORA.
type HuggingFaceLora =
    {
        Rank: int
        Alpha: float
        Dropout: float
        IsRankStabilised: bool
        IsDora: bool
        IsPissa: bool
        /// Other ranks for the sites whose name ends in, or matches to its end, a pattern; the first that does counts.
        RankPattern: (string * int) list
        AlphaPattern: (string * float) list
        Where: Targeting
    }

/// peft's IA3: `FeedForward` are those targets whose input is rescaled instead of their output.
type HuggingFaceIa3 =
    {
        Where: Targeting
        FeedForward: ModuleTarget
    }

/// peft's VERA.
type HuggingFaceVera =
    {
        Rank: int
        Key: int
        Start: float
        Dropout: float
        /// Whether A and B are in the file; otherwise they are drawn from the key.
        HoldsBasis: bool
        Where: Targeting
    }

/// peft's ADALORA.
type HuggingFaceAdaLora =
    {
        Settings: AdaLoraSettings
        /// Which directions of each site were kept; empty before an allocation.
        Kept: (string * bool[]) list
        Where: Targeting
    }

/// The methods of peft that this project reads and writes.
type HuggingFaceMethod =
    | HuggingFaceLora of HuggingFaceLora
    | HuggingFaceIa3 of HuggingFaceIa3
    /// The rows of the file are `tokens` for each of the `submodules`; only the first `tokens` are used.
    | HuggingFacePrompt of tokens: int * submodules: int
    | HuggingFacePrefix of tokens: int
    | HuggingFaceVera of HuggingFaceVera
    | HuggingFaceAdaLora of HuggingFaceAdaLora

/// What an `adapter_config.json` says.
[<ReferenceEquality>]
type HuggingFaceConfig =
    {
        Method: HuggingFaceMethod
        /// Modules trained whole beside the adapter.
        ModulesToSave: string list
        /// The keys that do not change the function, as the file has them: kept, and written again.
        Notes: Map<string, JsonElement>
        /// The rows of a prompt's file beyond those that T5 reads: kept, and written again.
        SpareRows: torch.Tensor option
    }

[<RequireQualifiedAccess>]
module Targeting =
    let ofNames (names: string list) : Targeting =
        {
            Targets = ModuleNames names
            Excluded = None
            Layers = []
            LayersPatterns = []
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
    let private layerOf (patterns: string list) (name: string) : int option =
        let expressions =
            match patterns |> List.filter ((<>) "") with
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
                layerOf where.LayersPatterns name
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
