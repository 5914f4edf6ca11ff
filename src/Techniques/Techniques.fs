namespace Peft

/// All techniques, and techniques as words. The only place that names them all.
// The type of this name is in an earlier file.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Technique =
    /// What each name means.
    let specs: Spec list =
        [
            Full.spec
            PaperLora.spec
            Ia3.paperSpec
            Lora.spec
            Ia3.spec
            BitFit.spec
            Prompt.spec
            Prefix.spec
            BottleneckAdapter.spec
            LayerNorm.spec
            Vera.spec
            Beft.spec
            Road.spec
            AdaLora.spec
            TrainableTokens.spec
            ExtraModules.spec
        ]

    /// The paper's techniques with the paper's settings, in the order of its Table 1.
    let paper: Technique list =
        [
            Full.technique
            Ia3.paper
            PaperLora.standard
            BitFit.technique
            Prompt.ofTokens Prompt.paperTokens
        ]

    /// The short name: `full`, `paper-lora`, `lora+layernorm`.
    let name (technique: Technique) : string = technique.Name

    /// The canonical words, which `parse` reads back: `paper-lora(rank=2)`, `prefix(tokens=20)`, `lora(rank=8,alpha=8) >> layernorm`.
    let text (technique: Technique) : string = technique.Words

    let private find (name: string) : Spec option =
        specs |> List.tryFind (fun spec -> spec.Name = name)

    let private first (name: string) : string =
        match find name with
        | Some spec -> spec.First
        | None -> "number"

    let private readOne (text: string) : Technique =
        let name, settings = WordsReader.split first text

        match find name with
        | None ->
            match Nearest.among 3 (specs |> List.map _.Name) name with
            | [] -> refuse $"'{name}' is no technique"
            | near -> refuse $"'{name}' is no technique; did you mean {Nearest.orList near}?"
        | Some spec ->
            let words = Words(name, settings)
            words.Finish(spec.Read words)

    /// Longer words are no technique of anybody's; some of a configuration of peft's are long (whole names of modules).
    let private longestText = 100_000

    /// Reads `lora`, `lora(8)`, `lora(rank=8)`, `lora(rank=8,alpha=16,dora)`, `prefix(tokens=20) >> layernorm` and so on;
    /// a number left out is the paper's or peft's. `UserError` names the techniques there are.
    let parse (text: string) : Technique =
        if text.Length > longestText then
            userError $"a technique's words have {text.Length:N0} characters, the most is {longestText:N0}."

        try
            match text.Split ">>" |> Array.map readOne |> List.ofArray with
            | [ one ] -> one
            | parts -> Chain.technique parts
        with Refused problem ->
            let usages = specs |> List.map _.Usage |> String.concat ", "

            let problem =
                if problem.EndsWith '?' then
                    $"{problem} The"
                else
                    $"{problem}: the"

            userError $"{problem} techniques are {usages}; 'a >> b' applies both."

    /// Words of before `lora` and `ia3` came to mean what they mean elsewhere, as today's: `lora(rank=2)` and `ia3` were the
    /// paper's then, `ia3(hf)` Hugging Face's.
    let private ofLegacyWords (text: string) : string =
        let name, settings =
            try
                WordsReader.split first text
            with Refused _ ->
                "", []

        match name, settings with
        | "lora", given when given |> List.forall (fst >> (=) "rank") ->
            match given with
            | [ _, rank ] -> $"paper-lora(rank={rank})"
            | _ -> PaperLora.standard.Words
        // With other settings it was Hugging Face's already, but for the rank where none was given.
        | "lora", given when not (List.exists (fst >> (=) "rank") given) ->
            text.Replace("(", $"(rank={PaperLora.rank},")
        | "ia3", [] -> Ia3.paper.Words
        | "ia3", [ "hf", "" ] -> Ia3.huggingFace.Words
        | _ -> text

    /// Reads the words of result files of schema 1 and of adapter folders of format 1.
    let parseLegacy (text: string) : Technique =
        text.Split ">>" |> Array.map ofLegacyWords |> String.concat ">>" |> parse

    /// What it trains and computes under a convention; none where the convention has no such technique.
    let form (convention: Convention) (technique: Technique) : Form option =
        if convention = Convention.Paper then
            Some technique.Form
        else
            technique.Others |> List.tryFind (fst >> (=) convention) |> Option.map snd

/// Techniques for C#.
[<AbstractClass; Sealed>]
type Techniques =
    /// `Technique.parse` for C#.
    static member Parse(words: string) : Technique = Technique.parse words
