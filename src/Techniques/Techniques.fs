namespace Peft

/// All techniques, and techniques as words. The only place that names them all.
// The type of this name is in an earlier file.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Technique =
    /// What each name means.
    let specs: Spec list =
        [
            Full.spec
            Lora.spec
            Ia3.spec
            BitFit.spec
            Prompt.spec
            Prefix.spec
            BottleneckAdapter.spec
            LayerNorm.spec
            Vera.spec
            AdaLora.spec
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

    /// The short name: `full`, `lora`, `lora+layernorm`.
    let name (technique: Technique) : string = technique.Name

    /// The canonical words, which `parse` reads back: `lora(rank=2)`, `prefix(tokens=20)`, `lora(rank=2) >> layernorm`.
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
        | None -> refuse $"'{name}' is no technique"
        | Some spec ->
            let words = Words(name, settings)
            words.Finish(spec.Read words)

    /// Reads `lora`, `lora(8)`, `lora(rank=8)`, `lora(rank=8,alpha=16,dora)`, `prefix(tokens=20) >> layernorm` and so on;
    /// a number left out is the paper's or peft's. `UserError` names the techniques there are.
    let parse (text: string) : Technique =
        try
            match text.Split ">>" |> Array.map readOne |> List.ofArray with
            | [ one ] -> one
            | parts -> Chain.technique parts
        with Refused problem ->
            let usages = specs |> List.map _.Usage |> String.concat ", "
            userError $"{problem}: the techniques are {usages}; 'a >> b' applies both."

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
