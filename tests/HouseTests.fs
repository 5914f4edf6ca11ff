/// Laws of the house: rooms are blocks of the compile order, files are short, and each assembly has one face.
module Peft.Tests.HouseTests

open System
open System.IO
open System.Reflection
open System.Text.RegularExpressions
open System.Xml.Linq
open Expecto
open Microsoft.FSharp.Reflection
open Peft.Tests.Support

/// A file of the repository, named as from its root.
let private at (path: string) = Path.Combine(root, path)

/// The projects under src: the library, and one for each face.
let private projects: string list =
    Directory.GetFiles(at "src", "*.fsproj", SearchOption.AllDirectories)
    |> Array.map (fun path -> Path.GetRelativePath(root, path).Replace('\\', '/'))
    |> List.ofArray

/// The files that a project compiles, in order, as the project names them.
let private compiled (project: string) : string list =
    XDocument.Load(at project).Descendants(XName.Get "Compile")
    |> Seq.choose (fun element -> element.Attribute(XName.Get "Include") |> Option.ofObj)
    |> Seq.map _.Value.Replace('\\', '/')
    |> List.ofSeq

let private folderOf (project: string) =
    string (Path.GetDirectoryName project) |> _.Replace('\\', '/')

/// Every source file under a folder, as from the root.
let private sources (folder: string) : string list =
    Directory.GetFiles(at folder, "*.fs", SearchOption.AllDirectories)
    |> Array.map (fun path -> Path.GetRelativePath(root, path).Replace('\\', '/'))
    |> Array.filter (fun path -> not (path.Contains "/obj/" || path.Contains "/bin/"))
    |> List.ofArray

/// The folders, of every depth, that the order of files enters more than once.
let private torn (files: string list) : string list =
    let folders (file: string) =
        let parts = file.Split '/'

        [
            for depth in 1 .. parts.Length - 1 -> String.Join('/', Array.take depth parts)
        ]

    [
        for folder in files |> List.collect folders |> List.distinct do
            let entries =
                (false :: List.map (fun (file: string) -> file.StartsWith(folder + "/")) files)
                |> List.pairwise
                |> List.filter (fun (before, now) -> now && not before)

            if entries.Length > 1 then
                folder
    ]

/// Fails with the names, where there are any.
let private none (what: string) (names: string list) : unit =
    if not names.IsEmpty then
        let text = String.Join("\n", names)
        failtest $"{what}:\n{text}"

let private lines (path: string) = (File.ReadAllLines(at path)).Length

let private order =
    testList
        "order"
        [
            testCase "a folder is one block of the compile order, so that it uses none that comes after it"
            <| fun () -> projects |> List.collect (compiled >> torn) |> none "these are torn"

            testCase "a torn folder is noticed"
            <| fun () ->
                Expect.equal (torn [ "A/x.fs"; "B/C/y.fs"; "A/z.fs"; "B/C/u.fs"; "D.fs" ]) [ "A"; "B"; "B/C" ] "torn"
                Expect.isEmpty (torn [ "A/x.fs"; "A/B/y.fs"; "A/B/z.fs"; "A/u.fs"; "D.fs" ]) "whole"

            testCase "every source file is compiled by one project"
            <| fun () ->
                let listed =
                    projects
                    |> List.collect (fun project ->
                        compiled project |> List.map (fun file -> $"{folderOf project}/{file}"))

                Expect.equal (List.sort listed) (List.sort (sources "src")) "each once"
        ]

let private length =
    testList
        "length"
        [
            testCase "no file is longer than 400 lines"
            <| fun () ->
                sources "src" @ sources "tests"
                |> List.filter (fun path -> lines path > 400)
                |> none "these are longer"

            testCase "the pipeline is told in 300 lines, and a script's recipe in 40"
            <| fun () ->
                Expect.isLessThanOrEqual (lines "src/Pipeline.fs") 300 "src/Pipeline.fs"

                for script in [ "sweep"; "search" ] do
                    Expect.isLessThanOrEqual (lines $"scripts/{script}.fsx") 40 script
        ]

/// Source text without comments and strings' insides.
let private codeOf (path: string) =
    let text = File.ReadAllText(at path)

    let withoutStrings =
        Regex.Replace(text, "\"\"\".*?\"\"\"|\"(\\\\.|[^\"\\\\])*\"", "\"\"", RegexOptions.Singleline)

    Regex.Replace(withoutStrings, @"//.*", "")

let private faces =
    testList
        "faces"
        [
            testCase "the library has no command line, no plotting and no pages"
            <| fun () ->
                let packages = File.ReadAllLines(at "src/paket.references")

                for foreign in [ "Argu"; "Spectre"; "ScottPlot"; "SkiaSharp"; "HarfBuzz" ] do
                    Expect.isFalse (packages |> Array.exists _.StartsWith(foreign)) foreign

                Expect.isFalse ((File.ReadAllText(at "src/Peft.fsproj")).Contains "assets") "no web assets"

            testCase "the library's top level is the heart, the spine and the short way in"
            <| fun () ->
                Expect.equal
                    (compiled "src/Peft.fsproj" |> List.filter (fun file -> not (file.Contains '/')))
                    [ "Peft.fs"; "Pipeline.fs"; "TextModel.fs" ]
                    "files without a room"

            testCase "T5 is known in its own folder"
            <| fun () ->
                let knows (path: string) = Regex.IsMatch(codeOf path, @"\bT5\b")

                sources "src"
                |> List.filter (fun path -> not (path.StartsWith "src/Models/T5/") && knows path)
                |> fun found ->
                    Expect.equal found [ "src/Checkpoints/Checkpoint.fs" ] "what chooses a family by its name, alone"
        ]

/// The documented names of the library: `Peft.Pipeline.sweep`, `Peft.Workshop.Session`, without parameters and arities.
let private documented () : Set<string> =
    let beside =
        string (Path.ChangeExtension(typeof<Peft.Session>.Assembly.Location, ".xml"))

    let file =
        if File.Exists beside then
            beside
        else
            at "src/bin/Release/net10.0/Peft.xml"

    XDocument.Load(file).Descendants(XName.Get "member")
    |> Seq.filter (fun element -> element.Value.Trim() <> "")
    |> Seq.choose (fun element -> element.Attribute(XName.Get "name") |> Option.ofObj)
    |> Seq.map (fun name -> Regex.Replace(name.Value.Substring 2, @"\(.*|`+\d+", "").Replace('+', '.'))
    |> Set.ofSeq

let private isGenerated (owner: MemberInfo) =
    owner.IsDefined(typeof<System.Runtime.CompilerServices.CompilerGeneratedAttribute>, false)
    || owner.IsDefined(typeof<CompilationMappingAttribute>, false)
       && (owner :? MethodInfo || owner :? PropertyInfo)

/// As a comment's name has it: `Peft.Safetensors`, not `Peft.SafetensorsModule`.
let rec private nameOf (type': Type) : string =
    let own = Regex.Replace(type'.Name, @"`\d+$", "")

    match type'.DeclaringType with
    | null -> $"{type'.Namespace}.{own}"
    | outer -> $"{nameOf outer}.{own}"

let private declared =
    BindingFlags.Public
    ||| BindingFlags.Static
    ||| BindingFlags.Instance
    ||| BindingFlags.DeclaredOnly

/// A field says itself where its type does; a number has a unit, a tensor a shape, a text a format: these need a sentence.
let private needsSentence (field: PropertyInfo) =
    let rec speaks (type': Type) =
        type' = typeof<float>
        || type' = typeof<float32>
        || type' = typeof<TorchSharp.torch.Tensor>
        || (type'.IsGenericType
            && type'.GetGenericTypeDefinition() = typedefof<_ option>
            && speaks type'.GenericTypeArguments[0])

    speaks field.PropertyType

/// Public names of the library without documentation. Cases of unions speak for themselves, or their type does.
let private undocumented () : string list =
    let known = documented ()

    let isKnown (name: string) =
        known.Contains name || known.Contains(name.Replace("Module.", "."))

    [
        for type' in typeof<Peft.Session>.Assembly.GetExportedTypes() do
            let name = nameOf type'
            let isModule = FSharpType.IsModule type'

            // A union's cases are types of their own; they are asked for below.
            let isCase =
                match type'.DeclaringType with
                | null -> false
                | outer -> FSharpType.IsUnion outer

            if not (isCase || isGenerated type') then
                // The module of a type's functions is introduced by the type.
                let isOfType = isModule && name.EndsWith "Module"

                if not (isOfType || isKnown name) then
                    name

                if FSharpType.IsRecord type' then
                    for field in FSharpType.GetRecordFields type' do
                        if needsSentence field && not (isKnown $"{name}.{field.Name}") then
                            $"{name}.{field.Name}"
                elif
                    isModule
                    || not (FSharpType.IsUnion type' || FSharpType.IsExceptionRepresentation type')
                then
                    for member' in type'.GetMembers declared do
                        let isAccessor =
                            match member' with
                            | :? MethodInfo as method -> method.IsSpecialName
                            | _ -> false

                        match member' with
                        | :? ConstructorInfo
                        | :? Type -> ()
                        | _ when isAccessor || isGenerated member' -> ()
                        | _ when not (isKnown $"{name}.{member'.Name}") -> $"{name}.{member'.Name}"
                        | _ -> ()
    ]
    |> List.distinct

let private documentation =
    testList
        "documentation"
        [
            testCase
                "every public type and function of the library is documented, and every field that needs a unit or a shape"
            <| fun () -> none "these are not" (undocumented ())
        ]

[<Tests>]
let tests = testList "House" [ order; length; faces; documentation ]
