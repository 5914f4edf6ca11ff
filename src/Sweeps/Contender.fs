namespace Peft

open System.Text.RegularExpressions

/// One way to tune that a race or a search tries.
type Contender =
    {
        /// With its size: `lora(rank=8,alpha=8)`.
        Technique: Technique
        /// Where it stands in the model.
        Placement: Placement
        /// The highest learning rate; a run begins and ends at a tenth of it.
        Peak: float
    }

/// Sizes and places of one technique, the likeliest first: what gets the same number of trials as every other.
type TechniqueFamily =
    {
        /// In tables of the race: `lora`.
        Name: string
        Variants: (Technique * Placement) list
    }

[<RequireQualifiedAccess>]
module Contender =
    /// The technique's words, and its place where that is not the usual one.
    let name (contender: Contender) : string =
        if contender.Placement = Placement.everywhere then
            Technique.text contender.Technique
        else
            $"{Technique.text contender.Technique} at {Placement.text contender.Placement}"

    /// Rates are tried as multiples of the usual one, in this order.
    let private factors = [ 1.0; 0.3; 3.0; 0.1; 10.0; 0.03; 30.0; 0.01 ]

    /// The most trials of a technique.
    let most: int = factors.Length

    /// The first `count` contenders of a family, by how far variant and rate together are from the likeliest; every family
    /// gives as many. `usual` is a technique's usual peak rate.
    let ofFamily (usual: Technique -> float) (count: int) (family: TechniqueFamily) : Contender list =
        [
            for far in 0 .. factors.Length + family.Variants.Length do
                for variant in 0 .. min far (family.Variants.Length - 1) do
                    match List.tryItem (far - variant) factors with
                    | Some factor ->
                        let technique, placement = family.Variants[variant]

                        {
                            Technique = technique
                            Placement = placement
                            Peak = float (decimal (System.Math.Round(usual technique * factor, 9)))
                        }
                    | None -> ()
        ]
        |> List.truncate count

[<RequireQualifiedAccess>]
module TechniqueFamily =
    let private variant (words: string, place: string) =
        Technique.parse words, Placement.parse place

    let private family (name: string) (variants: (string * string) list) : TechniqueFamily =
        {
            Name = name
            Variants = variants |> List.map variant
        }

    /// What is raced unless the user says otherwise.
    let standard: TechniqueFamily list =
        [
            family "full" [ "full", "all" ]
            family
                "lora"
                [
                    "lora(rank=8)", "all"
                    "lora(rank=32)", "all"
                    "lora(rank=2)", "all"
                    "lora(rank=8)", "late"
                ]
            family "ia3" [ "paper-ia3", "all"; "ia3", "all" ]
            family "bitfit" [ "bitfit", "all"; "bitfit", "late" ]
            family "adapter" [ "adapter(width=64,parallel)", "all"; "adapter(width=16,parallel)", "all" ]
            family "prompt" [ "prompt(tokens=20)", "all"; "prompt(tokens=100)", "all" ]
        ]

    /// The numbers that are a technique's main size.
    let private size =
        Regex(@"\b(rank|tokens|width)=(\d+)", RegexOptions.CultureInvariant)

    /// A technique at its usual place; with sizes also with four times and a quarter of its rank, tokens or width, where it
    /// has one.
    let sized (hasSizes: bool) (technique: Technique) : TechniqueFamily =
        let words = Technique.text technique

        let times (change: int -> int) =
            size.Replace(words, (fun (found: Match) -> $"{found.Groups[1].Value}={change (int found.Groups[2].Value)}"))
            |> Technique.parse

        {
            Name = words
            Variants =
                [
                    technique
                    if hasSizes && size.IsMatch words then
                        times ((*) 4)
                        times (fun count -> max 1 (count / 4))
                ]
                |> List.distinct
                |> List.map (fun technique -> technique, Placement.everywhere)
        }

    /// A technique of the user's words, with its place in the later half as a second variant.
    let ofTechnique (technique: Technique) : TechniqueFamily =
        {
            Name = Technique.text technique
            Variants =
                [
                    technique, Placement.everywhere
                    if technique.Sites.IsSome then
                        technique, Placement.late
                ]
        }

    /// The variants that can be made of a model, and that `isWithin` keeps; a family without any is gone. The causes of those
    /// that went come beside it.
    let fitting
        (shape: Shape)
        (isWithin: Technique * Placement -> Result<unit, string>)
        (families: TechniqueFamily list)
        : TechniqueFamily list * string list =
        let judged =
            families
            |> List.map (fun family ->
                family,
                family.Variants
                |> List.map (fun (technique, placement) ->
                    try
                        Accounting.count shape Convention.Paper technique placement |> ignore
                        isWithin (technique, placement) |> Result.map (fun () -> technique, placement)
                    with UserError cause ->
                        Error cause))

        let causes =
            judged
            |> List.choose (fun (family, variants) ->
                if variants |> List.forall Result.isError then
                    variants
                    |> List.tryPick (function
                        | Error cause -> Some $"{family.Name} is left out: {cause}"
                        | Ok _ -> None)
                else
                    None)

        judged
        |> List.map (fun (family, variants) ->
            { family with
                Variants = variants |> List.choose Result.toOption
            })
        |> List.filter (fun family -> not family.Variants.IsEmpty),
        causes
