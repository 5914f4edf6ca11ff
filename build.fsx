// The project's targets: dotnet fsi build.fsx <target> [options]. Each runs what it needs first.
//
//   restore   tools and packages
//   build     everything in Release (-p:TorchBackend=cuda and the like are passed on)
//   test      all tests; ends with "N passed, N failed, N skipped"
//   sweep     the default benchmark; options go to scripts/sweep.fsx
//   choose    a technique for your rows; options go to scripts/choose.fsx
//   site      the documentation as a site, in the folder `site` (`pages`: without building the library)
//   format    Fantomas over all sources
open System
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions

let root = __SOURCE_DIRECTORY__

/// Runs a program in the repository's folder; a failure ends the script with its exit code.
let run (program: string) (arguments: string list) : unit =
    let start = ProcessStartInfo(program, arguments, WorkingDirectory = root)

    match Process.Start start with
    | null ->
        eprintfn $"build.fsx: {program} could not be started"
        exit 1
    | started ->
        started.WaitForExit()

        if started.ExitCode <> 0 then
            exit started.ExitCode

let dotnet arguments = run "dotnet" arguments

let restore () =
    dotnet [ "tool"; "restore" ]
    dotnet [ "paket"; "restore" ]

let build options =
    restore ()

    dotnet (
        [
            "build"
            Path.Combine(root, "Peft.sln")
            "-c"
            "Release"
            "--nologo"
            "-v"
            "quiet"
        ]
        @ options
    )

let test options =
    build []
    dotnet ([ "run"; "--project"; "tests"; "-c"; "Release"; "--no-build"; "--" ] @ options)

let sweep options =
    build []
    dotnet ([ "fsi"; Path.Combine("scripts", "sweep.fsx") ] @ options)

let choose options =
    build []
    dotnet ([ "fsi"; Path.Combine("scripts", "choose.fsx") ] @ options)

/// What stands for the site's folder until each page knows its way there.
let siteRoot = "site-root:/"

/// A page with relative links, so that the site can lie anywhere; links to what is no page of it keep their words only.
let finishPage (page: string) =
    let depth =
        Path.GetRelativePath("site", page).Split(Path.DirectorySeparatorChar).Length - 1

    let way = String.replicate depth "../"
    let text = (File.ReadAllText page).Replace(siteRoot, way)
    let outside = $"""<a href="(?:\.\./){{{depth + 1},}}[^"]*"[^>]*>(.*?)</a>"""
    File.WriteAllText(page, Regex.Replace(text, outside, "$1", RegexOptions.Singleline))

/// Pages from `docs` and from the comments of the library as it was built in Release.
let pages () =
    dotnet
        [
            "fsdocs"
            "build"
            "--clean"
            "--nodefaultcontent"
            "--input"
            "docs"
            "--output"
            "site"
            "--projects"
            Path.Combine(root, "src", "Peft.fsproj")
            "--properties"
            "Configuration=Release"
            "--parameters"
            "root"
            siteRoot
            "fsdocs-collection-name"
            "Peft"
        ]

    // fsdocs writes a NuGet.config, and a page of the report's text over the report itself.
    File.Delete(Path.Combine("site", "NuGet.config"))

    File.Copy(
        Path.Combine("docs", "report", "report.html"),
        Path.Combine("site", "report", "report.html"),
        overwrite = true
    )

    Directory.GetFiles("site", "*.html", SearchOption.AllDirectories)
    |> Array.filter (fun page -> Path.GetFileName page <> "report.html" || Path.GetDirectoryName page = "site")
    |> Array.iter finishPage

let site () =
    build []
    pages ()

let format () =
    restore ()
    dotnet [ "fantomas"; "src"; "tests"; "scripts"; "build.fsx" ]

let targets =
    [
        "restore", ignore >> restore
        "build", build
        "test", test
        "sweep", sweep
        "choose", choose
        "site", ignore >> site
        "pages", ignore >> pages
        "format", ignore >> format
    ]

match List.ofArray fsi.CommandLineArgs |> List.tail with
| name :: options when targets |> List.exists (fst >> (=) name) -> (dict targets)[name] options
| _ ->
    let names = targets |> List.map fst |> String.concat ", "
    eprintfn $"usage: dotnet fsi build.fsx <target> [options]; the targets are {names}"
    exit 1
