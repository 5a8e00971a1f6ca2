# SPDX-License-Identifier: LGPL-2.1-or-later
# As much of nixpkgs' lib as nix/module.nix and its test need, since no nixpkgs is to be had where the tests run: the
# same names and the same meaning, in a few lines. With VMCTL_NIX_LIB the test takes the real one.
let
  inherit (builtins)
    all
    attrNames
    concatLists
    concatMap
    concatStringsSep
    elem
    filter
    foldl'
    head
    isAttrs
    isBool
    isInt
    isList
    isString
    length
    listToAttrs
    mapAttrs
    ;

  kind = value: if isAttrs value then value._type or "" else "";
  isOption = value: kind value == "option";
  show = concatStringsSep ".";

  # What conditions, merges and priorities make of one definition: a list of values with their priorities.
  discharge =
    value:
    if kind value == "if" then
      (if value.condition then discharge value.content else [ ])
    else if kind value == "merge" then
      concatMap discharge value.contents
    else if kind value == "override" then
      map (d: d // { inherit (value) priority; }) (discharge value.content)
    else
      [
        {
          priority = 100;
          inherit value;
        }
      ];

  # The same for a set that has options below it. No condition is asked for: it may depend on one of them.
  pushDown =
    value:
    if kind value == "if" then
      map (mapAttrs (_: lib.mkIf value.condition)) (pushDown value.content)
    else if kind value == "merge" then
      concatMap pushDown value.contents
    else if kind value == "override" then
      map (mapAttrs (_: lib.mkOverride value.priority)) (pushDown value.content)
    else
      [ value ];

  unique = foldl' (found: name: if elem name found then found else found ++ [ name ]) [ ];
  zip =
    func: sets:
    listToAttrs (
      map (name: {
        inherit name;
        value = func name (concatMap (set: if set ? ${name} then [ set.${name} ] else [ ]) sets);
      }) (unique (concatMap attrNames sets))
    );

  evalOption =
    path: option: definitions:
    let
      all' =
        concatMap discharge definitions
        ++ (
          if option ? default then
            [
              {
                priority = 1500;
                value = option.default;
              }
            ]
          else
            [ ]
        );
      best = foldl' (p: d: if d.priority < p then d.priority else p) 9999 all';
      values = map (d: d.value) (filter (d: d.priority == best) all');
    in
    if all' == [ ] then
      throw "The option `${show path}' is used but not defined."
    else if !(all option.type.check values) then
      throw "A definition for option `${show path}' is not of type `${option.type.name}'."
    else
      option.type.merge path values;

  evalTree =
    path: options: definitions:
    let
      sets = concatMap pushDown definitions;
      unknown = filter (name: !(options ? ${name})) (unique (concatMap attrNames sets));
    in
    if unknown != [ ] then
      throw "The option `${show (path ++ [ (head unknown) ])}' does not exist."
    else
      mapAttrs (
        name: option:
        (if isOption option then evalOption else evalTree) (path ++ [ name ]) option (
          concatMap (set: if set ? ${name} then [ set.${name} ] else [ ]) sets
        )
      ) options;

  mergeTrees = zip (
    _: trees: if length trees == 1 || isOption (head trees) then head trees else mergeTrees trees
  );

  one =
    path: values:
    if all (value: value == head values) values then
      head values
    else
      throw "The option `${show path}' has conflicting definition values.";

  mergeAnything =
    path: values:
    if all isAttrs values then
      zip (name: mergeAnything (path ++ [ name ])) values
    else if all isList values then
      concatLists values
    else
      one path values;

  type = name: check: merge: { inherit name check merge; };

  lib = {
    mkOption = option: option // { _type = "option"; };
    mkEnableOption =
      what:
      lib.mkOption {
        type = lib.types.bool;
        default = false;
        description = "Whether to enable ${what}.";
      };
    mkIf = condition: content: {
      _type = "if";
      inherit condition content;
    };
    mkMerge = contents: {
      _type = "merge";
      inherit contents;
    };
    mkOverride = priority: content: {
      _type = "override";
      inherit priority content;
    };
    mkVMOverride = lib.mkOverride 10;
    mkForce = lib.mkOverride 50;
    mkDefault = lib.mkOverride 1000;
    literalExpression = text: {
      _type = "literalExpression";
      inherit text;
    };

    types = {
      bool = type "boolean" isBool one;
      str = type "string" isString one;
      int = type "signed integer" isInt one;
      lines = type "strings concatenated with \"\\n\"" isString (_: concatStringsSep "\n");
      package = type "package" (value: isAttrs value && value.type or "" == "derivation") one;
      anything = type "anything" (_: true) mergeAnything;
      listOf =
        of: type "list of ${of.name}" (value: isList value && all of.check value) (_: concatLists);
      attrsOf =
        of:
        type "attribute set of ${of.name}"
          (value: isAttrs value && all (name: of.check value.${name}) (attrNames value))
          (path: zip (name: of.merge (path ++ [ name ])));
    };

    evalModules =
      {
        modules,
        specialArgs ? { },
      }:
      let
        load =
          module:
          let
            loaded =
              if builtins.isPath module then
                import module
              else
                module;
            set = if builtins.isFunction loaded then loaded (specialArgs // { inherit lib config; }) else loaded;
          in
          if set ? config || set ? options then { config = set.config or { }; options = set.options or { }; } else {
            config = set;
            options = { };
          };
        loaded = map load modules;
        options = mergeTrees (map (module: module.options) loaded);
        config = evalTree [ ] options (map (module: module.config) loaded);
      in
      {
        inherit config options;
      };
  };
in
lib
